package report

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/logkey"
)

// Reporter sends a node's heartbeat at each interval, and at once when Changed is called.
type Reporter struct {
	interval time.Duration
	timeout  time.Duration
	collect  func() load.Heartbeat
	send     func(ctx context.Context, beat load.Heartbeat) error
	logger   *slog.Logger

	changed  chan struct{}
	failures atomic.Uint64
	sequence uint64
	failing  bool
}

// NewReporter makes a reporter. collect assembles a heartbeat without its sequence; send stores it and is given at
// most timeout. Both are called from one goroutine at a time.
func NewReporter(
	interval, timeout time.Duration, collect func() load.Heartbeat,
	send func(ctx context.Context, beat load.Heartbeat) error, logger *slog.Logger,
) *Reporter {
	return &Reporter{
		interval: interval, timeout: timeout, collect: collect, send: send, logger: logger,
		changed: make(chan struct{}, 1),
	}
}

// changesPerInterval bounds the heartbeats that changes cause: a node whose shards become ready one after another must
// not send one for each.
const changesPerInterval = 10

// Run sends until ctx ends, the first heartbeat at once.
func (r *Reporter) Run(ctx context.Context) {
	ticker := time.NewTicker(r.interval)
	defer ticker.Stop()
	calm := time.NewTimer(0)
	defer calm.Stop()
	for {
		r.beat(ctx, r.collect())
		calm.Reset(r.interval / changesPerInterval)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			continue
		case <-calm.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-r.changed:
		}
	}
}

// Changed asks for a heartbeat now, or a tenth of an interval after the last one: the node's state or what it owns has
// changed. It never blocks.
func (r *Reporter) Changed() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Last sends the node's last heartbeat, with state Gone, after Run has returned.
func (r *Reporter) Last(ctx context.Context) {
	last := r.collect()
	last.State = fleet.Gone
	r.beat(ctx, last)
}

// Failures counts heartbeats that could not be sent.
func (r *Reporter) Failures() uint64 { return r.failures.Load() }

// beat sends one heartbeat and logs the first failure of an outage and its end. A failed one is not repeated: the
// next is newer.
func (r *Reporter) beat(ctx context.Context, beat load.Heartbeat) {
	r.sequence++
	beat.Sequence = r.sequence
	bounded, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	err := r.send(bounded, beat)
	if err == nil {
		if r.failing {
			r.failing = false
			r.logger.Info("heartbeats are sent again")
		}
		return
	}
	if ctx.Err() != nil {
		return
	}
	r.failures.Add(1)
	if !r.failing {
		r.failing = true
		r.logger.Warn("heartbeat not sent; the node serves on with the table it has", slog.Any(logkey.Err, err))
	}
}
