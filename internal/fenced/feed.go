package fenced

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/logkey"
)

// Feed follows a cell and keeps its newest good value in memory. The highest (fence, version) ever seen wins, so
// that a Redis that lost its data cannot take a follower back. Safe for concurrent use.
type Feed[T any] struct {
	cell   Cell
	decode func([]byte) (T, error)
	logger *slog.Logger

	held  atomic.Pointer[held[T]]
	clock atomic.Pointer[serverClock]
	// written is when the cell was last written, on the server's clock.
	written atomic.Pointer[time.Time]

	reading sync.Mutex // held across one reading; taken before mu
	bad     [2]uint64  // token and version of the value that could not be decoded, so that it is logged once

	mu      sync.Mutex // guards changed alone, so that nobody waits for Redis to get it
	changed chan struct{}

	done chan struct{}
}

type held[T any] struct {
	value          T
	fence, version uint64
}

// serverClock is a reading of the server's clock and when it was taken; time.Since of it is monotonic.
type serverClock struct {
	server time.Time
	taken  time.Time
}

// Follow starts a goroutine that follows the cell until ctx ends: it listens for announcements and reads every
// poll besides, since an announcement may be lost. A value that decode refuses is logged once and the last good one stays.
func Follow[T any](ctx context.Context, cell Cell, poll time.Duration, decode func([]byte) (T, error), logger *slog.Logger) *Feed[T] {
	f := &Feed[T]{
		cell: cell, decode: decode, logger: logger.With(slog.String(logkey.Key, cell.key)),
		changed: make(chan struct{}), done: make(chan struct{}),
	}
	go f.run(ctx, poll)
	return f
}

// Latest is the newest good value with the Redis server's time now, carried on from the last reading by the
// monotonic clock. It reads memory only. Without any value yet ok is false.
func (f *Feed[T]) Latest() (value T, now time.Time, ok bool) {
	if clock := f.clock.Load(); clock != nil {
		now = clock.server.Add(time.Since(clock.taken))
	}
	h := f.held.Load()
	if h == nil {
		return value, now, false
	}
	return h.value, now, true
}

// Age is how long ago the cell was last written, changed or not, as far as this feed has heard: how long its leader has been
// silent. It is huge when that is not known, and also grows while Redis is away.
func (f *Feed[T]) Age() time.Duration {
	written := f.written.Load()
	if written == nil || written.IsZero() {
		return math.MaxInt64
	}
	_, now, _ := f.Latest()
	return now.Sub(*written)
}

// Changed is closed at the next change. Take it before Latest, or a change in between goes unseen.
func (f *Feed[T]) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// Refresh reads the cell now. An error leaves the value as it was.
func (f *Feed[T]) Refresh(ctx context.Context) error {
	f.reading.Lock()
	defer f.reading.Unlock()
	var fence, version uint64
	var knownFence, knownVersion string
	if h := f.held.Load(); h != nil {
		fence, version = h.fence, h.version
		knownFence, knownVersion = pad(fence), pad(version)
	}
	reading, err := f.cell.read(ctx, knownFence, knownVersion)
	if err != nil {
		return err
	}
	f.clock.Store(&serverClock{server: reading.Now, taken: time.Now()})
	if reading.Found && reading.Fence >= fence {
		f.written.Store(&reading.Written)
	}
	if !reading.Found || knownFence != "" && !reading.newer(fence, version) {
		return nil
	}
	value, err := f.decode(reading.Body)
	if err != nil {
		return f.refuse(&reading, err)
	}
	f.held.Store(&held[T]{value: value, fence: reading.Fence, version: reading.Version})
	f.announce()
	return nil
}

func (f *Feed[T]) announce() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.changed)
	f.changed = make(chan struct{})
}

// Wait returns once the goroutine has ended; call it after ctx is done.
func (f *Feed[T]) Wait() { <-f.done }

// errUndecodable marks an error that refuse has logged already.
var errUndecodable = errors.New("the stored value cannot be used")

func (f *Feed[T]) refuse(reading *Reading, cause error) error {
	err := fmt.Errorf("read %s: %w: %w", f.cell.key, errUndecodable, cause)
	if head := [2]uint64{reading.Fence, reading.Version}; f.bad != head {
		f.bad = head
		f.logger.Error("a stored value cannot be used; the last good one stays", slog.Any(logkey.Err, err))
	}
	return err
}

func (f *Feed[T]) run(ctx context.Context, poll time.Duration) {
	defer close(f.done)
	subscription := f.cell.client.Subscribe(ctx, keys.Changed(f.cell.key))
	defer func() { _ = subscription.Close() }()
	announced := subscription.Channel()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	failing := false
	for {
		failing = f.observe(f.Refresh(ctx), failing)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case _, open := <-announced:
			if !open || !drain(announced) {
				announced = nil // the client is closed; polling goes on and fails until ctx ends
			}
		}
	}
}

// drain takes what else was announced, since one reading takes the newest value. It is false when the channel is closed.
func drain(announced <-chan *redis.Message) bool {
	for {
		select {
		case _, open := <-announced:
			if !open {
				return false
			}
		default:
			return true
		}
	}
}

// observe logs the first failure of an outage and its end.
func (f *Feed[T]) observe(err error, was bool) (failing bool) {
	if errors.Is(err, errUndecodable) || errors.Is(err, context.Canceled) {
		return was
	}
	switch failing = err != nil; {
	case failing && !was:
		f.logger.Warn("a stored value cannot be read; the last good one stays", slog.Any(logkey.Err, err))
	case was && !failing:
		f.logger.Info("a stored value can be read again")
	}
	return failing
}
