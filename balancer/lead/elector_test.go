package lead

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	ttl = 6 * time.Second
	// stops is when a leader that cannot renew must be out of office.
	stops = ttl * stopNumerator / stopDivisor
)

// fakeStore is a lease on the bubble's clock, with faults.
type fakeStore struct {
	mu     sync.Mutex
	holder string
	until  time.Time
	fence  uint64
	down   bool
	hangs  bool
}

type fakeLease struct {
	store *fakeStore
	me    string
}

var errDown = errors.New("down")

// call answers the fault that the store is set to.
func (s *fakeStore) call(ctx context.Context) error {
	s.mu.Lock()
	down, hangs := s.down, s.hangs
	s.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if down {
		return errDown
	}
	return nil
}

func (s *fakeStore) set(change func(*fakeStore)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (l *fakeLease) acquire(ctx context.Context, floor uint64) (string, uint64, error) {
	if err := l.store.call(ctx); err != nil {
		return "", 0, err
	}
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if l.store.holder != "" && l.store.holder != l.me && time.Now().Before(l.store.until) {
		return l.store.holder, 0, nil
	}
	l.store.holder, l.store.until = l.me, time.Now().Add(ttl)
	l.store.fence = max(l.store.fence, floor) + 1
	return l.me, l.store.fence, nil
}

func (l *fakeLease) renew(ctx context.Context, fence uint64) error {
	if err := l.store.call(ctx); err != nil {
		return err
	}
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if l.store.holder != l.me || l.store.fence != fence {
		return errLost
	}
	l.store.until = time.Now().Add(ttl)
	return nil
}

func (l *fakeLease) release(ctx context.Context, fence uint64) error {
	if err := l.store.call(ctx); err != nil {
		return err
	}
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if l.store.holder == l.me && l.store.fence == fence {
		l.store.holder = ""
	}
	return nil
}

// office records who leads and fails the test when two do.
type office struct {
	t      *testing.T
	mu     sync.Mutex
	holder string
	fences []uint64
}

func (o *office) enter(me string, term Term) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.holder != "" {
		o.t.Errorf("%s leads while %s still does: two leaders decide", me, o.holder)
	}
	if n := len(o.fences); n > 0 && term.Fence <= o.fences[n-1] {
		o.t.Errorf("term of %s has fence %d after %d: the old leader's writes would win", me, term.Fence, o.fences[n-1])
	}
	o.holder, o.fences = me, append(o.fences, term.Fence)
}

func (o *office) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.holder = ""
}

func (o *office) now() (holder string, terms int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.holder, len(o.fences)
}

func (o *office) lead(me string) func(context.Context, Term) {
	return func(ctx context.Context, term Term) {
		o.enter(me, term)
		<-ctx.Done()
		o.leave()
	}
}

// start runs an elector until the returned stop is called, which waits for it.
func start(t *testing.T, store *fakeStore, me string, lead func(context.Context, Term)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	elector := newElector(&fakeLease{store: store, me: me}, me, ttl, slog.New(slog.DiscardHandler))
	go func() { done <- elector.Run(ctx, lead) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("elector of %s: %v", me, err)
		}
	}
}

func TestOnlyOneLeadsAndKeepsLeading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, seat := &fakeStore{}, &office{t: t}
		stopA := start(t, store, "a", seat.lead("a"))
		stopB := start(t, store, "b", seat.lead("b"))
		<-time.After(10 * ttl)
		if holder, terms := seat.now(); holder == "" || terms != 1 {
			t.Errorf("after 10 leases %q leads and there were %d terms, want one leader in its first term", holder, terms)
		}
		stopA()
		stopB()
	})
}

func TestNextLeaderStartsAtOnceAfterAShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, seat := &fakeStore{}, &office{t: t}
		stopA := start(t, store, "a", seat.lead("a"))
		synctest.Wait()
		stopB := start(t, store, "b", seat.lead("b"))
		synctest.Wait()
		stopA()
		began := time.Now()
		<-time.After(ttl / candidacies)
		synctest.Wait()
		if holder, _ := seat.now(); holder != "b" {
			t.Errorf("%s after the leader released its lease %q leads, want b", time.Since(began), holder)
		}
		stopB()
	})
}

func TestLeaderStopsBeforeItsLeaseCanBeTaken(t *testing.T) {
	faults := map[string]func(*fakeStore){
		"Redis refuses every call":   func(s *fakeStore) { s.down = true },
		"Redis answers no call ever": func(s *fakeStore) { s.hangs = true },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, seat := &fakeStore{}, &office{t: t}
				stopA := start(t, store, "a", seat.lead("a"))
				<-time.After(ttl + time.Millisecond)
				store.set(fault)
				began := time.Now()
				<-time.After(stops)
				synctest.Wait()
				if holder, _ := seat.now(); holder != "" {
					t.Errorf("%q still leads %s after its last chance to renew, the lease runs %s", holder, time.Since(began), ttl)
				}
				store.set(func(s *fakeStore) { s.down, s.hangs = false, false })
				<-time.After(ttl)
				if holder, terms := seat.now(); holder != "a" || terms != 2 {
					t.Errorf("after Redis came back %q leads in term %d, want a in its second", holder, terms)
				}
				stopA()
			})
		})
	}
}

func TestShortOutageOfRedisEndsNoTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, seat := &fakeStore{}, &office{t: t}
		stop := start(t, store, "a", seat.lead("a"))
		<-time.After(ttl + time.Millisecond)
		store.set(func(s *fakeStore) { s.down = true })
		<-time.After(ttl / renewals)
		store.set(func(s *fakeStore) { s.down = false })
		<-time.After(3 * ttl)
		if holder, terms := seat.now(); holder != "a" || terms != 1 {
			t.Errorf("%q leads in term %d, want a in its first: an outage shorter than the lease's slack cost a term", holder, terms)
		}
		stop()
	})
}

func TestTermEndsWhenAnotherTookTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, seat := &fakeStore{}, &office{t: t}
		stop := start(t, store, "a", seat.lead("a"))
		synctest.Wait()
		store.set(func(s *fakeStore) { s.holder, s.until, s.fence = "z", time.Now().Add(ttl), s.fence+1 })
		<-time.After(ttl / renewals)
		synctest.Wait()
		if holder, _ := seat.now(); holder != "" {
			t.Errorf("%q still leads though the lease is another's", holder)
		}
		stop()
	})
}

func TestTermThatIsGivenUpReleasesTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		fences := make(chan uint64, 100)
		stop := start(t, store, "a", func(_ context.Context, term Term) { fences <- term.Fence })
		<-time.After(ttl)
		stop()
		close(fences)
		var terms int
		var last uint64
		for fence := range fences {
			if terms++; fence <= last {
				t.Errorf("fence %d after %d", fence, last)
			}
			last = fence
		}
		if terms < 2 || terms > 2*candidacies {
			t.Errorf("%d terms in one lease's time: a leader that gives up must neither spin nor block the next", terms)
		}
		if store.holder != "" {
			t.Errorf("the lease is still held by %q", store.holder)
		}
	})
}

func TestLeaderIsKnownToFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, seat := &fakeStore{}, &office{t: t}
		stop := start(t, store, "a", seat.lead("a"))
		synctest.Wait()
		ctx, cancel := context.WithCancel(context.Background())
		follower := newElector(&fakeLease{store: store, me: "b"}, "b", ttl, slog.New(slog.DiscardHandler))
		done := make(chan error, 1)
		go func() { done <- follower.Run(ctx, seat.lead("b")) }()
		synctest.Wait()
		if got := follower.Leader(); got != "a" {
			t.Errorf("the follower believes %q leads, want a", got)
		}
		cancel()
		<-done
		stop()
	})
}
