package lead

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// errNotOurs keeps a late release from taking the Lease from the next leader.
var errNotOurs = errors.New("the Lease is another's by now: it is not released")

// watchedLock ends one term when the Lease was not renewed in time, counted from before the call that renewed it:
// the API server may have written the Lease at any moment of a call that was slow.
type watchedLock struct {
	resourcelock.Interface
	now  func() time.Time
	term time.Duration
	end  func()

	mu       sync.Mutex
	watchdog *time.Timer
	holder   string // as last read
}

// Get remembers who holds the Lease.
func (l *watchedLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	if err == nil {
		l.mu.Lock()
		l.holder = record.HolderIdentity
		l.mu.Unlock()
	}
	return record, raw, err
}

// Create takes a Lease that did not exist.
func (l *watchedLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	asked := l.now()
	err := l.Interface.Create(ctx, record)
	if err == nil {
		l.held(asked)
	}
	return err
}

// Update takes, renews or releases the Lease. client-go releases what it last knew to be its own, though the Lease
// it has just read may be another's.
func (l *watchedLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	releases := record.HolderIdentity != l.Identity()
	if releases && !l.ours() {
		return errNotOurs
	}
	asked := l.now()
	err := l.Interface.Update(ctx, record)
	if err == nil && !releases {
		l.held(asked)
	}
	return err
}

func (l *watchedLock) ours() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holder == l.Identity()
}

// held lets the term run on from the moment the Lease was asked for. A term that has ended stays ended.
func (l *watchedLock) held(asked time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := l.term - l.now().Sub(asked)
	if l.watchdog == nil {
		l.watchdog = time.AfterFunc(left, l.end)
		return
	}
	l.watchdog.Reset(left)
}

// stop ends the watch, once the election is over.
func (l *watchedLock) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watchdog != nil {
		l.watchdog.Stop()
	}
}
