package lead

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/internal/logkey"
)

// errLost says that the lease is another's, or nobody's, by now.
var errLost = errors.New("the leader's lease is lost")

// How a lease's time is used. A leader that could not renew stops at two thirds, on its own monotonic clock counted
// from before it asked: a third is left for clocks that tick at different rates and for a step that is under way.
const (
	renewals      = 4 // tries within one lease's time
	stopNumerator = 2
	stopDivisor   = 3
	candidacies   = 8 // how often within one lease's time a follower asks
)

// lease is where leadership is held; the elector only keeps time.
type lease interface {
	// acquire answers who holds the lease now, and the term's token when that is the caller.
	acquire(ctx context.Context, floor uint64) (holder string, fence uint64, err error)
	// renew answers errLost when the lease is not the caller's any more.
	renew(ctx context.Context, fence uint64) error
	release(ctx context.Context, fence uint64) error
}

// Redis elects by a lease in Redis, for use outside Kubernetes.
type Redis struct {
	lease  lease
	holder string
	ttl    time.Duration
	logger *slog.Logger

	leader  atomic.Pointer[string]
	highest uint64 // the highest token seen; used by Run alone
}

var _ Elector = (*Redis)(nil)

// NewRedis makes an elector named id; a leader that dies is replaced after at most ttl.
func NewRedis(client redis.UniversalClient, id string, ttl time.Duration, logger *slog.Logger) *Redis {
	holder := unique(id)
	return newElector(&redisLease{client: client, holder: holder, ttl: ttl}, holder, ttl, logger)
}

func newElector(l lease, holder string, ttl time.Duration, logger *slog.Logger) *Redis {
	return &Redis{lease: l, holder: holder, ttl: ttl, logger: logger}
}

// unique tells two lives of one name apart: a process that was started again does not hold what it held before.
func unique(id string) string { return id + "_" + rand.Text()[:8] }

// Leader names the holder of the lease as last seen, this replica or another.
func (r *Redis) Leader() string {
	if name := r.leader.Load(); name != nil {
		return *name
	}
	return ""
}

// Run implements Elector. It returns nil once ctx has ended and the lease is released.
func (r *Redis) Run(ctx context.Context, lead func(context.Context, Term)) error {
	failing := false
	for ctx.Err() == nil {
		asked := time.Now()
		fence, err := r.ask(ctx)
		if failing != (err != nil) && ctx.Err() == nil {
			failing = err != nil
			r.logOutage(err)
		}
		if fence != 0 {
			r.reign(ctx, asked, Term{Fence: fence}, lead)
		}
		r.pause(ctx, r.ttl/candidacies)
	}
	return nil
}

// ask tries to get the lease; without it the token is 0.
func (r *Redis) ask(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, r.ttl/renewals)
	defer cancel()
	holder, fence, err := r.lease.acquire(ctx, r.highest)
	if err != nil {
		r.leader.Store(nil)
		return 0, err
	}
	r.leader.Store(&holder)
	r.highest = max(r.highest, fence)
	return fence, nil
}

// reign leads until the lease is lost, lead returns or ctx ends, and gives the lease up only when lead has returned.
func (r *Redis) reign(ctx context.Context, asked time.Time, term Term, lead func(context.Context, Term)) {
	logger := r.logger.With(slog.Uint64(logkey.Fence, term.Fence))
	logger.Info("this replica leads")
	termCtx, end := context.WithCancelCause(ctx)
	defer end(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		lead(termCtx, term)
	}()
	r.keep(termCtx, end, asked, term, done)
	end(errors.New("the term was given up"))
	<-done
	r.leader.Store(nil)
	logger.Info("this replica leads no more", slog.Any(logkey.Reason, context.Cause(termCtx)))
	// The process may be stopping, so that ctx has ended; releasing lets the next leader start at once.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.ttl/renewals)
	defer cancel()
	if err := r.lease.release(ctx, term.Fence); err != nil {
		logger.Warn("the lease was not released; it runs out by itself", slog.Any(logkey.Err, err))
	}
}

// keep renews the lease until the term ends. The watchdog runs beside it, so that a renewal that hangs cannot
// keep a leader in office.
func (r *Redis) keep(ctx context.Context, end context.CancelCauseFunc, asked time.Time, term Term, done <-chan struct{}) {
	term0 := r.ttl * stopNumerator / stopDivisor
	watchdog := time.AfterFunc(term0-time.Since(asked), func() {
		end(fmt.Errorf("the lease could not be renewed within %s", term0))
	})
	defer watchdog.Stop()
	ticker := time.NewTicker(r.ttl / renewals)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-done:
			return
		case <-ticker.C:
		}
		asked = time.Now()
		err := r.renewOnce(ctx, term.Fence)
		switch {
		case err == nil:
			watchdog.Reset(term0 - time.Since(asked))
		case errors.Is(err, errLost):
			end(err)
			return
		}
	}
}

func (r *Redis) renewOnce(ctx context.Context, fence uint64) error {
	ctx, cancel := context.WithTimeout(ctx, r.ttl/renewals)
	defer cancel()
	return r.lease.renew(ctx, fence)
}

func (r *Redis) logOutage(err error) {
	if err != nil {
		r.logger.Warn("no leader can be elected while Redis does not answer", slog.Any(logkey.Err, err))
		return
	}
	r.logger.Info("Redis answers elections again")
}

func (r *Redis) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
