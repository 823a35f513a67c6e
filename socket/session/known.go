package session

import (
	"context"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
)

const (
	// negative is how long "no session" is believed: a client that connects is reachable a second later.
	negative = time.Second
	// pause is how long after a failed look-up the next is not even tried, so that senders do not queue behind
	// a Redis that is away.
	pause = 500 * time.Millisecond
	// markerAge is how long a mark must have stood before a missing record means "no session": until then nodes
	// write their sessions anew into a Redis that lost its data.
	markerAge = 30 * time.Second
	// stripes and stripeEntries bound the cache to about 260,000 recipients.
	stripes       = 64
	stripeEntries = 4096
)

// Answer says whether a client has a session inside the resume window.
type Answer uint8

// The answers.
const (
	// Unknown: nobody can tell now. The sender is told to try again.
	Unknown Answer = iota
	// Absent: the client has no session.
	Absent
	// Present: the client has one.
	Present
)

// Expiries is what Known asks about clients; Store implements it.
type Expiries interface {
	Expiry(ctx context.Context, client string) (left time.Duration, found bool, err error)
	Marker(ctx context.Context) (Marker, error)
}

// Known caches who has a session, so that Redis stays off the path of a message. It is safe for concurrent use.
type Known struct {
	store   Expiries
	now     func() time.Time
	stripes [stripes]stripe

	mu       sync.Mutex // guards the fields below
	retryAt  time.Time
	marker   Marker
	markerAt time.Time
	marked   bool
}

type stripe struct {
	mu      sync.Mutex
	entries map[string]*entry
}

// entry is an answer with its time, or one that is being looked up.
type entry struct {
	answer Answer
	until  time.Time
	ready  chan struct{}
}

// NewKnown makes an empty cache; the clock must be monotonic, as time.Now is.
func NewKnown(store Expiries, now func() time.Time) *Known {
	k := &Known{store: store, now: now}
	for i := range k.stripes {
		k.stripes[i].entries = map[string]*entry{}
	}
	return k
}

// Lookup answers from memory, or asks once for all that ask at the same time. It blocks no longer than the store's
// timeout.
func (k *Known) Lookup(ctx context.Context, client string) Answer {
	s := &k.stripes[xxhash.Sum64String(client)%stripes]
	s.mu.Lock()
	e, found := s.entries[client]
	if found && e.ready == nil && k.now().Before(e.until) {
		s.mu.Unlock()
		return e.answer
	}
	if !found || e.ready == nil {
		e = &entry{ready: make(chan struct{})}
		s.put(client, e)
		s.mu.Unlock()
		return k.load(ctx, s, client, e)
	}
	ready := e.ready
	s.mu.Unlock()
	select {
	case <-ready:
		s.mu.Lock()
		defer s.mu.Unlock()
		return e.answer
	case <-ctx.Done():
		return Unknown
	}
}

// put makes room by dropping any one other entry: what is dropped is only looked up again.
func (s *stripe) put(client string, e *entry) {
	if len(s.entries) >= stripeEntries {
		for other, held := range s.entries {
			if held.ready == nil {
				delete(s.entries, other)
				break
			}
		}
	}
	s.entries[client] = e
}

func (k *Known) load(ctx context.Context, s *stripe, client string, e *entry) Answer {
	answer, lasts := k.ask(ctx, client)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.answer, e.until = answer, k.now().Add(lasts)
	close(e.ready)
	e.ready = nil
	if answer == Unknown && s.entries[client] == e {
		delete(s.entries, client)
	}
	return answer
}

func (k *Known) ask(ctx context.Context, client string) (Answer, time.Duration) {
	if k.pausing() {
		return Unknown, 0
	}
	left, found, err := k.store.Expiry(ctx, client)
	if err != nil {
		k.pauseNow()
		return Unknown, 0
	}
	if found {
		return Present, left
	}
	if !k.trusted(ctx) {
		return Unknown, 0
	}
	return Absent, negative
}

func (k *Known) pausing() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now().Before(k.retryAt)
}

func (k *Known) pauseNow() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.retryAt = k.now().Add(pause)
}

// trusted reports whether a missing record means that there is no session. The mark is read at most once a second.
func (k *Known) trusted(ctx context.Context) bool {
	k.mu.Lock()
	marker, at, marked := k.marker, k.markerAt, k.marked
	k.mu.Unlock()
	if !marked || k.now().Sub(at) >= negative {
		var err error
		if marker, err = k.store.Marker(ctx); err != nil {
			k.pauseNow()
			return false
		}
		k.mu.Lock()
		k.marker, k.markerAt, k.marked = marker, k.now(), true
		k.mu.Unlock()
	}
	return marker.Value != "" && marker.Age >= markerAge
}
