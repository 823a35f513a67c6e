package lead

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

var leases = schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}

// faultyLock is a Lease whose API server can refuse calls or leave them without an answer.
type faultyLock struct {
	me    string
	store *fakeStore

	mu      sync.Mutex
	record  *resourcelock.LeaderElectionRecord
	version int // of the record
	seen    int // the version that the candidate saw last; only that one may it overwrite
}

// Get answers the record.
func (l *faultyLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	if err := l.store.call(ctx); err != nil {
		return nil, nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.record == nil {
		return nil, nil, apierrors.NewNotFound(leases, "balancer")
	}
	l.seen = l.version
	record := *l.record
	raw, err := json.Marshal(record)
	return &record, raw, err
}

// Create writes the record.
func (l *faultyLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.Update(ctx, record)
}

// Update writes the record.
func (l *faultyLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	if err := l.store.call(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen != l.version {
		return apierrors.NewConflict(leases, "balancer", errors.New("the object was changed"))
	}
	l.version++
	l.record, l.seen = &record, l.version
	return nil
}

// RecordEvent does nothing.
func (l *faultyLock) RecordEvent(string) {}

// Identity is the candidate's name.
func (l *faultyLock) Identity() string { return l.me }

// Describe names the lock.
func (l *faultyLock) Describe() string { return "faulty" }

// holder is who holds the Lease now.
func (l *faultyLock) holder() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.record == nil {
		return ""
	}
	return l.record.HolderIdentity
}

// startKubernetes runs an elector on a lock until the returned stop is called, which waits for it.
func startKubernetes(t *testing.T, lock resourcelock.Interface, lead func(context.Context, Term)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	elector := NewKubernetes(lock, nil, ttl, slog.New(slog.DiscardHandler))
	var fence atomic.Uint64
	elector.nextFence = func(context.Context, uint64) (uint64, error) { return fence.Add(1), nil }
	go func() { done <- elector.Run(ctx, lead) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("elector: %v", err)
		}
	}
}

func TestKubernetesLeaderStopsBeforeItsLeaseCanBeTaken(t *testing.T) {
	faults := map[string]func(*fakeStore){
		"the API server refuses every call":   func(s *fakeStore) { s.down = true },
		"the API server answers no call ever": func(s *fakeStore) { s.hangs = true },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, seat := &fakeStore{}, &office{t: t}
				stop := startKubernetes(t, &faultyLock{me: "a", store: store}, seat.lead("a"))
				<-time.After(ttl + time.Millisecond)
				if holder, terms := seat.now(); holder != "a" || terms != 1 {
					t.Fatalf("while the API server answers %q leads in term %d, want a in its first", holder, terms)
				}
				store.set(fault)
				began := time.Now()
				<-time.After(stops)
				synctest.Wait()
				if holder, _ := seat.now(); holder != "" {
					t.Errorf("%q still leads %s after its last chance to renew, the lease runs %s", holder, time.Since(began), ttl)
				}
				store.set(func(s *fakeStore) { s.down, s.hangs = false, false })
				<-time.After(2 * ttl)
				synctest.Wait()
				if holder, terms := seat.now(); holder != "a" || terms != 2 {
					t.Errorf("after the API server came back %q leads in term %d, want a in its second", holder, terms)
				}
				stop()
			})
		})
	}
}

// slowLock writes the Lease at once and answers late.
type slowLock struct {
	*faultyLock
	delay time.Duration
}

// Update writes the record, then waits.
func (l *slowLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	err := l.faultyLock.Update(ctx, record)
	<-time.After(l.delay)
	return err
}

func TestKubernetesTermIsCountedFromBeforeTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Bool
		lock := &watchedLock{
			Interface: &slowLock{&faultyLock{me: "a", store: &fakeStore{}}, stops / 2},
			now:       time.Now, term: stops, end: func() { ended.Store(true) },
		}
		defer lock.stop()
		began := time.Now()
		if err := lock.Update(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "a"}); err != nil {
			t.Fatal(err)
		}
		<-time.After(stops/2 - time.Nanosecond)
		synctest.Wait()
		if ended.Load() {
			t.Errorf("the term ended %s after it was asked for, before its %s", time.Since(began), stops)
		}
		<-time.After(time.Nanosecond)
		synctest.Wait()
		if !ended.Load() {
			t.Errorf("a term runs on %s after the Lease was written: a slow answer must not lengthen it", time.Since(began))
		}
	})
}

func TestKubernetesLateReleaseLeavesTheNextLeaderItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seat := &office{t: t}
		lock := &faultyLock{me: "a", store: &fakeStore{}}
		stop := startKubernetes(t, lock, seat.lead("a"))
		<-time.After(ttl + time.Second/2)
		// Between two renewals the next leader takes the Lease; what the old one does next is to release.
		lock.mu.Lock()
		lock.version++
		lock.record = &resourcelock.LeaderElectionRecord{HolderIdentity: "b", LeaseDurationSeconds: int(10 * ttl / time.Second)}
		lock.mu.Unlock()
		stop()
		if got := lock.holder(); got != "b" {
			t.Errorf("the Lease of the next leader is held by %q: a third could lead beside it", got)
		}
	})
}
