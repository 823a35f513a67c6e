package lead

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/tidegate/tidegate/internal/logkey"
)

// kubernetesTries is how often within one lease's time the API server is asked; client-go wants more than 1.2 tries
// before the deadline.
const kubernetesTries = 6

// Kubernetes elects by a Lease in the cluster. The token still comes from Redis, where the fenced cells live.
type Kubernetes struct {
	lock   resourcelock.Interface
	ttl    time.Duration
	logger *slog.Logger
	now    func() time.Time // with a monotonic reading
	// nextFence gives out a token above floor and above every earlier one.
	nextFence func(ctx context.Context, floor uint64) (uint64, error)

	elector atomic.Pointer[leaderelection.LeaderElector]
	highest atomic.Uint64
}

var _ Elector = (*Kubernetes)(nil)

// NewKubernetes makes an elector on a lock, usually a resourcelock.LeaseLock whose identity is the pod's name;
// a leader that dies is replaced after at most ttl and one try.
func NewKubernetes(lock resourcelock.Interface, client redis.UniversalClient, ttl time.Duration, logger *slog.Logger) *Kubernetes {
	return &Kubernetes{
		lock: lock, ttl: ttl, logger: logger, now: time.Now,
		nextFence: func(ctx context.Context, floor uint64) (uint64, error) { return nextFence(ctx, client, floor) },
	}
}

// Leader names the holder of the Lease as last seen.
func (k *Kubernetes) Leader() string {
	if elector := k.elector.Load(); elector != nil {
		return elector.GetLeader()
	}
	return ""
}

// Run implements Elector. Each election ends with its term; the next one begins with a new elector.
func (k *Kubernetes) Run(ctx context.Context, lead func(context.Context, Term)) error {
	for ctx.Err() == nil {
		if err := k.elect(ctx, lead); err != nil {
			return err
		}
	}
	return nil
}

// elect runs one election and at most one term. The election's context outlives the term's: client-go gives the
// Lease up when its context ends, and that must not be before lead has returned. client-go starts the term on a
// goroutine of its own and does not wait for it; the Once does: whoever calls it waits for a term under way, and
// one that has not begun by then never will. client-go ends a term only after its last try to renew and its try to
// release have both run out of time, which is after the Lease has; the watched lock ends it in time.
func (k *Kubernetes) elect(ctx context.Context, lead func(context.Context, Term)) error {
	electionCtx, endElection := context.WithCancel(context.WithoutCancel(ctx))
	defer endElection()
	officeCtx, endOffice := context.WithCancel(ctx)
	defer endOffice()
	lock := &watchedLock{Interface: k.lock, now: k.now, term: k.term(), end: endOffice}
	defer lock.stop()
	var term sync.Once
	settle := func() { term.Do(func() {}) }
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:            lock,
		LeaseDuration:   k.ttl,
		RenewDeadline:   k.ttl * stopNumerator / stopDivisor,
		RetryPeriod:     k.ttl / kubernetesTries,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(lost context.Context) {
				term.Do(func() { k.reign(officeCtx, lost, lead) })
				endElection()
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("elect by a Lease of %s: %w", k.ttl, err)
	}
	k.elector.Store(elector)
	stop := context.AfterFunc(ctx, func() {
		settle()
		endElection()
	})
	defer stop()
	elector.Run(electionCtx)
	settle()
	return nil
}

// term is how long one renewal keeps a leader in office. A Lease is written in whole seconds, rounded down.
func (k *Kubernetes) term() time.Duration {
	return k.ttl.Truncate(time.Second) * stopNumerator / stopDivisor
}

// reign leads from the moment it has a token until the Lease is lost or ctx ends.
func (k *Kubernetes) reign(ctx, lost context.Context, lead func(context.Context, Term)) {
	termCtx, end := context.WithCancel(lost)
	defer end()
	stop := context.AfterFunc(ctx, end)
	defer stop()
	fence, ok := k.token(termCtx)
	if !ok {
		return
	}
	logger := k.logger.With(slog.Uint64(logkey.Fence, fence))
	logger.Info("this replica leads")
	lead(termCtx, Term{Fence: fence})
	logger.Info("this replica leads no more")
}

// token asks Redis until it answers: without a token nothing may be written.
func (k *Kubernetes) token(ctx context.Context) (uint64, bool) {
	ticker := time.NewTicker(k.ttl / renewals)
	defer ticker.Stop()
	logged := false
	for {
		callCtx, cancel := context.WithTimeout(ctx, k.ttl/renewals)
		fence, err := k.nextFence(callCtx, k.highest.Load())
		cancel()
		if err == nil {
			k.highest.Store(fence)
			return fence, true
		}
		if !logged && ctx.Err() == nil {
			logged = true
			k.logger.Warn("this replica is elected but cannot lead while Redis gives no token", slog.Any(logkey.Err, err))
		}
		select {
		case <-ctx.Done():
			return 0, false
		case <-ticker.C:
		}
	}
}
