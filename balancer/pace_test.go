package balancer

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/load"
)

// stuckSource does not answer for one fleet until it is released.
type stuckSource struct {
	load.Source
	slow    fleet.ID
	release chan struct{}
	entered chan struct{}
	inside  atomic.Int32
	most    atomic.Int32
	others  chan struct{}
}

func (s *stuckSource) Heartbeats(ctx context.Context, id fleet.ID) ([]load.Heartbeat, time.Time, []error, error) {
	if id != s.slow {
		select {
		case s.others <- struct{}{}:
		default:
		}
		return s.Source.Heartbeats(ctx, id)
	}
	s.most.Store(max(s.most.Load(), s.inside.Add(1)))
	defer s.inside.Add(-1)
	select {
	case s.entered <- struct{}{}:
	default:
	}
	<-s.release
	return nil, born, nil, nil
}

func TestSlowFleetHoldsUpNobodyElse(t *testing.T) {
	w := newWorld(t, ids(2)...)
	slow := fleet.ID{Namespace: "shop", Name: "slow"}
	if _, err := w.server.SAdd(keys.Fleets, slow.String(), chat.String()); err != nil {
		t.Fatal(err)
	}
	source := &stuckSource{slow: slow, release: make(chan struct{}), entered: make(chan struct{}, 1), others: make(chan struct{})}
	r := w.replica(func(d *Deps) {
		source.Source = heartbeats{client: d.Redis}
		d.Source, d.Interval = source, time.Millisecond
	})
	release := sync.OnceFunc(func() { close(source.release) })
	t.Cleanup(release)
	r.elect(100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.loop(ctx)
	}()
	<-source.entered
	// That this ends at all is the test: with one tick for all, nobody would be read while the slow fleet is.
	for range 20 {
		select {
		case <-source.others:
		case <-time.After(10 * time.Second):
			t.Fatal("a fleet is not looked after because another one is slow: its dead nodes are never found")
		}
	}
	left := r.left
	r.leave()
	cancel()
	select {
	case <-left:
		t.Error("the term ended while a tick still works for it: it could write after the next leader")
	case <-ended:
		t.Error("the loop ended while a tick still runs")
	case <-time.After(50 * time.Millisecond):
	}
	release()
	<-left
	<-ended
	if source.most.Load() != 1 {
		t.Errorf("%d ticks worked on one fleet at once: they would tear its memory", source.most.Load())
	}
}

// spy sees each command before it is sent.
type spy func(cmd redis.Cmder)

func (s spy) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (s spy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (s spy) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		s(cmd)
		return next(ctx, cmd)
	}
}

// writes reports whether a command is the write of a cell; a read of it carries fewer arguments.
func writes(cmd redis.Cmder, key string) bool {
	return len(cmd.Args()) > 6 && slices.Contains(cmd.Args(), any(key))
}

func TestRackThatDiedIsForgottenInOneCall(t *testing.T) {
	w := newWorld(t, ids(8)...)
	var calls atomic.Int32
	leader := w.replica(func(d *Deps) {
		d.Redis.AddHook(spy(func(cmd redis.Cmder) {
			if cmd.Name() == "hdel" {
				calls.Add(1)
			}
		}))
	})
	leader.elect(100)
	w.run(10, leader)
	for _, id := range ids(4) {
		w.kill(id)
	}
	w.run(6, leader)
	if fields, err := w.server.HKeys(keys.Nodes(chat)); err != nil || len(fields) != 4 {
		t.Errorf("Redis holds heartbeats of %v (%v), want the four that live", fields, err)
	}
	if calls.Load() != 1 {
		t.Errorf("four dead nodes took %d calls, want one: a slow Redis would hold up the tick once for each", calls.Load())
	}
}
