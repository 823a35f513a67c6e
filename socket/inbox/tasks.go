package inbox

import (
	"context"
	"sync"
	"time"
)

// tasks are the goroutines of an inbox: none starts once it is closed, and Close waits for all.
type tasks struct {
	ctx    context.Context
	cancel context.CancelFunc
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

func newTasks() *tasks {
	t := &tasks{}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// start runs f unless the inbox is closed; f must return soon after its context ends.
func (t *tasks) start(f func(ctx context.Context)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.wg.Go(func() { f(t.ctx) })
}

// end stops new tasks and tells those that run to end.
func (t *tasks) end() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cancel()
}

func (t *tasks) wait() { t.wg.Wait() }

// pause waits and says whether to go on. It ends early when early is closed.
func pause(ctx context.Context, d time.Duration, early <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-early:
	case <-timer.C:
	}
	return ctx.Err() == nil
}

// The pauses after something failed, doubling from first to last.
const (
	backoffFirst = 50 * time.Millisecond
	backoffLast  = 2 * time.Second
)

func backoff(last time.Duration) time.Duration {
	return min(max(2*last, backoffFirst), backoffLast)
}
