package client

import "sync"

// mailbox brings messages from any goroutine to the client's loop. It never blocks, so that a callback may send.
type mailbox struct {
	// most bounds the messages that are queued here or wait to be accepted.
	most int
	// wake has room for one: it says that there is something to take.
	wake chan struct{}

	mu      sync.Mutex
	queued  []*pending
	waiting int
	closed  bool
}

// put queues a message; its done also frees its place.
func (m *mailbox) put(p *pending) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return ErrClosed
	case m.waiting >= m.most:
		return ErrFull
	}
	m.waiting++
	done := p.done
	p.done = func(err error) {
		m.free()
		done(err)
	}
	m.queued = append(m.queued, p)
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return nil
}

func (m *mailbox) free() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting--
}

// take empties the queue.
func (m *mailbox) take() []*pending {
	m.mu.Lock()
	defer m.mu.Unlock()
	queued := m.queued
	m.queued = nil
	return queued
}

// close refuses everything from now on and returns what was still queued.
func (m *mailbox) close() []*pending {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	return m.take()
}
