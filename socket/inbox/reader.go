package inbox

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/internal/record"
	"github.com/tidegate/tidegate/internal/shard"
)

// The stages of a reader.
type stage int

const (
	warming stage = iota
	ready
	stopped
)

// entry is one record as it was fetched. Key and value are only valid while it is handled.
type entry struct {
	offset     int64
	at         time.Time
	key, value []byte
}

// fetched is what one fetch brought of one shard.
type fetched struct {
	entries []entry
	// next is the offset after the last entry; high is the end of the log as the broker told it.
	next, high int64
	at         time.Time
}

// verdict says what a fetch means for the reader.
type verdict int

const (
	goOn verdict = iota
	// becameReady: the reader has found its own marker.
	becameReady
	// over: the reader was stopped.
	over
	// lostMarker: the reader is beyond its marker and has not seen it; the topic was made anew under it.
	lostMarker
)

// reader reads one shard. What is fetched comes to it in order, from one goroutine at a time.
type reader struct {
	id     shard.ID
	window time.Duration
	events Events
	log    logReader
	tasks  *tasks
	now    func() time.Time

	// delivered is the last offset that was handed to every live subscription.
	delivered atomic.Int64
	consumed  atomic.Uint64
	handed    atomic.Uint64
	bad       atomic.Uint64

	// calls is what the goroutine that reads still has to tell; only that goroutine uses it.
	calls []call

	mu    sync.Mutex
	stage stage
	index *index
	subs  map[string][]*Subscription
	// marker is the record that ends the warm-up; sessions are the last of each client read until then.
	marker   marker
	sessions map[string]started
	// broker is the broker's time of the newest record, and since when this node has it, on its own clock.
	broker, since time.Time
	high          int64
	scan          scan
	rates         rates
}

type marker struct {
	nonce  string
	offset int64
}

type started struct {
	session record.Session
	offset  int64
}

// call is one thing to tell after the lock is released, in the order of the log.
type call struct {
	sub     *Subscription
	message Message
	session *started
}

func newReader(id shard.ID, c *Config, log logReader, t *tasks) *reader {
	r := &reader{
		id: id, window: c.Window, events: c.Events, log: log, tasks: t, now: c.Now,
		subs: make(map[string][]*Subscription), sessions: make(map[string]started),
	}
	r.delivered.Store(None)
	return r
}

// start gives the reader its place in the log; false means that it was stopped meanwhile.
func (r *reader) start(x *index, m marker) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stage == stopped {
		return false
	}
	r.index, r.marker = x, m
	r.delivered.Store(x.next - 1)
	return true
}

// take handles what was fetched and tells everybody concerned.
func (r *reader) take(f fetched) verdict {
	r.mu.Lock()
	if r.stage == stopped {
		r.mu.Unlock()
		return over
	}
	found := false
	for i := range f.entries {
		found = r.read(&f.entries[i], f.at) || found
	}
	r.index.skip(f.next - 1)
	r.high = max(f.high, r.index.next)
	if len(f.entries) > 0 {
		r.broker, r.since = f.entries[len(f.entries)-1].at, f.at
	}
	r.trim()
	last := r.index.next - 1
	lost := r.stage == warming && !found && last > r.marker.offset
	if found {
		r.reportSessions()
	}
	r.mu.Unlock()
	r.tell()
	r.delivered.Store(last)
	switch {
	case found:
		return becameReady
	case lost:
		return lostMarker
	default:
		return goOn
	}
}

// read handles one record and says whether it is the reader's own marker. The caller holds the lock.
func (r *reader) read(e *entry, at time.Time) bool {
	if e.offset < r.index.next {
		return false
	}
	r.consumed.Add(1)
	decoded, err := record.Decode(e.value)
	if err != nil {
		r.bad.Add(1) // what no node wrote concerns no client
		r.index.skip(e.offset)
		return false
	}
	switch decoded.Kind {
	case record.KindMessage:
		if message, fresh := r.index.append(e.offset, e.at, decoded.Message); fresh {
			message.Fetched = at
			for _, sub := range r.subs[decoded.Message.To] {
				if sub.live.Load() && e.offset > sub.from {
					r.calls = append(r.calls, call{sub: sub, message: message})
				}
			}
		}
		return false
	case record.KindSession:
		r.index.skip(e.offset)
		session := started{session: decoded.Session, offset: e.offset}
		if r.stage == warming {
			r.sessions[decoded.Session.Client] = session
		} else {
			r.calls = append(r.calls, call{session: &session})
		}
		return false
	default:
		r.index.skip(e.offset)
		return r.stage == warming && decoded.Marker.Nonce == r.marker.nonce
	}
}

// reportSessions queues what the warm-up has seen, oldest first. The caller holds the lock.
func (r *reader) reportSessions() {
	sessions := slices.SortedFunc(maps.Values(r.sessions), func(a, b started) int { return cmp.Compare(a.offset, b.offset) })
	for i := range sessions {
		r.calls = append(r.calls, call{session: &sessions[i]})
	}
	clear(r.sessions)
}

// tell makes the queued calls, under no lock.
func (r *reader) tell() {
	for i := range r.calls {
		c := &r.calls[i]
		if c.session != nil {
			r.events.SessionStarted(r.id, c.session.session, c.session.offset)
			continue
		}
		if c.sub.deliver(c.message) {
			r.handed.Add(1)
		}
	}
	clear(r.calls)
	r.calls = r.calls[:0]
}

// serve opens the reader to subscriptions; false means that it was stopped meanwhile.
func (r *reader) serve() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stage != warming {
		return false
	}
	r.stage = ready
	return true
}

// stop ends the reader and returns the subscriptions that it ended.
func (r *reader) stop() []*Subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stage == stopped {
		return nil
	}
	r.stage = stopped
	if r.index != nil {
		r.index.release()
	}
	var ended []*Subscription
	for _, subs := range r.subs {
		for _, sub := range subs {
			if sub.end() {
				ended = append(ended, sub)
			}
		}
	}
	clear(r.subs)
	return ended
}

func (r *reader) is(s stage) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stage == s
}

// next is the offset that is read next.
func (r *reader) next() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.index.next
}

// trim forgets what is older than the window, by the broker's clock: its time is at least that of the newest record
// and what has passed here since. The caller holds the lock.
func (r *reader) trim() {
	if r.index != nil && !r.broker.IsZero() {
		r.index.trim(r.broker.Add(r.now().Sub(r.since) - r.window))
	}
}

// forget drops an ended subscription.
func (r *reader) forget(s *Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	subs := slices.DeleteFunc(r.subs[s.client], func(other *Subscription) bool { return other == s })
	if len(subs) == 0 {
		delete(r.subs, s.client)
		return
	}
	r.subs[s.client] = subs
}
