package socket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/drain"
	"github.com/tidegate/tidegate/socket/usage"
)

const (
	// collectorRatio is what of the memory limit the garbage collector aims to stay below.
	collectorRatio = 0.9
	// lastWords is what of the shutdown is kept for the last records and the last heartbeat.
	lastWords = 3 * time.Second
)

// Run is a node's life: it serves until ctx ends (SIGTERM), then closes every session that is left, each told where
// and when to return, within the shutdown timeout. An error says why it could not start or had to stop.
func Run(ctx context.Context, o Options, logger *slog.Logger) error {
	s, err := open(ctx, o, logger)
	if err != nil {
		return err
	}
	if limit, ok := usage.MemoryLimit(os.DirFS("/"), o.limits()); ok {
		_, err := memlimit.Set(memlimit.WithProvider(memlimit.Limit(uint64(limit))), memlimit.WithRatio(collectorRatio))
		if err != nil {
			s.logger.Warn("the garbage collector's memory limit was not set", slog.Any(logkey.Err, err))
		}
	}
	return s.run(ctx)
}

// run serves until ctx ends or a listener fails.
func (s *server) run(ctx context.Context) error {
	failed := make(chan error, 2)
	s.work.Go(s.follower.run)
	s.work.Go(s.mover.run)
	s.work.Go(func() { s.keeper.Run(s.ctx) })
	s.work.Go(func() { s.reporter.Run(s.ctx) })
	s.work.Go(func() { failed <- serving("--addr", s.engine.Serve(s.public)) })
	s.work.Go(func() { failed <- serving("--admin-addr", s.admin.Serve(s.private)) })
	s.logger.Info("node started", slog.String(logkey.Addr, s.public.Addr().String()))
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.shutdown() //nolint:contextcheck // ctx has ended: the shutdown has a time of its own
	return err
}

func serving(flag string, err error) error {
	if err == nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("%s stopped serving: %w", flag, err)
}

// shutdown ends everything in the order in which nothing is missed: sessions, listeners, loops, last records, last
// heartbeat.
func (s *server) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), s.o.ShutdownTimeout)
	defer cancel()
	s.depart(reasonShutdown, s.o.ShutdownTimeout)
	s.closeAll(reasonShutdown, s.pace())
	sessions, done := context.WithTimeout(ctx, max(s.o.ShutdownTimeout-lastWords, s.o.ShutdownTimeout/2))
	defer done()
	if err := s.engine.Shutdown(sessions); err != nil {
		s.logger.Warn("connections were cut", slog.Any(logkey.Err, err))
	}
	s.stop()
	if err := s.admin.Shutdown(ctx); err != nil {
		closeQuietly(s.admin)
	}
	s.work.Wait()
	s.mover.finish(s.now())
	if err := s.keeper.Flush(ctx); err != nil {
		s.logger.Warn("last session records not written", slog.Any(logkey.Err, err))
	}
	s.reporter.Last(ctx)
	s.release()
	s.logger.Info("node stopped")
}

// pace is how many clients a second the other nodes take from one that goes.
func (s *server) pace() float64 {
	t, _, known := s.table.Latest()
	if !known {
		t = &shard.Table{}
	}
	targets, sources := s.mover.flow(t, nil, true)
	return drain.Pace(s.o.DrainRate, targets, sources)
}
