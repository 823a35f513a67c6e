package page

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tidegate/tidegate/internal/fleet"
)

// errFull says that as many browsers listen as a feed allows.
var errFull = errors.New("too many event streams are open")

// maxSubscribers bounds the event streams of one feed.
const maxSubscribers = 256

// Feed holds the newest snapshot and the bounded past of each fleet, and wakes whoever streams them.
// It is safe for concurrent use.
type Feed struct {
	points int
	limit  int

	mu     sync.Mutex
	fleets map[fleet.ID]*past
	// ids are the fleets in order; the list is replaced, never changed, when one joins.
	ids         []fleet.ID
	subscribers map[*subscriber]struct{}

	closing sync.Once
	closed  chan struct{}
}

// past is what a feed knows of one fleet.
type past struct {
	latest  *frame
	history *history
	drains  map[fleet.NodeID]Drain
}

// frame is one snapshot, encoded at most once however many browsers watch it.
type frame struct {
	snapshot Snapshot
	encode   func() ([]byte, error)
}

// subscriber is woken after a change; wakes that it has not seen yet fold into one.
type subscriber struct{ wake chan struct{} }

// NewFeed makes a feed that keeps this many points of each fleet as they came (at one a second: seconds),
// at least one; behind them it keeps a point a minute for a day.
func NewFeed(history int) *Feed {
	return &Feed{
		points: history, limit: maxSubscribers, ids: []fleet.ID{},
		fleets: map[fleet.ID]*past{}, subscribers: map[*subscriber]struct{}{},
		closed: make(chan struct{}),
	}
}

// Publish makes a snapshot the newest of its fleet. It never waits for a reader: one that lags skips snapshots.
// The feed sums up Totals, Point and the drains; the caller must not change the snapshot's slices afterwards.
func (f *Feed) Publish(s Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, known := f.fleets[s.Fleet]
	if !known {
		p = &past{history: newHistory(f.points)}
		f.fleets[s.Fleet] = p
		f.ids = append(slices.Clone(f.ids), s.Fleet)
		slices.SortFunc(f.ids, func(a, b fleet.ID) int { return strings.Compare(a.String(), b.String()) })
	}
	s.Nodes = p.followDrains(s)
	s.Totals = total(s.Nodes)
	s.Point = pointOf(s)
	p.history.add(s.Point, s.Decision)
	s.From = p.history.from()
	p.latest = newFrame(s)
	for sub := range f.subscribers {
		select {
		case sub.wake <- struct{}{}:
		default:
		}
	}
}

// Close ends every event stream, for a server's shutdown. Publishing to a closed feed is harmless.
func (f *Feed) Close() { f.closing.Do(func() { close(f.closed) }) }

// followDrains copies the rows and tells of each draining node how many connections it held when that began.
func (p *past) followDrains(s Snapshot) []NodeRow {
	rows, drains := make([]NodeRow, len(s.Nodes)), map[fleet.NodeID]Drain{}
	copy(rows, s.Nodes)
	for i := range rows {
		if rows[i].State != fleet.Draining {
			continue
		}
		drain, known := p.drains[rows[i].ID]
		if !known {
			drain = Drain{Since: s.Now, From: rows[i].Connections}
		}
		drains[rows[i].ID] = drain
		rows[i].Drain = &drain
	}
	p.drains = drains
	return rows
}

func newFrame(s Snapshot) *frame {
	return &frame{snapshot: s, encode: sync.OnceValues(func() ([]byte, error) {
		body, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("encode snapshot of %s: %w", s.Fleet, err)
		}
		return body, nil
	})}
}

// known lists the fleets in order; the caller must not change the list.
func (f *Feed) known() []fleet.ID {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ids
}

// latest returns the newest frame of a fleet; nil when the fleet is unknown.
func (f *Feed) latest(id fleet.ID) *frame {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, ok := f.fleets[id]; ok {
		return p.latest
	}
	return nil
}

// past copies a fleet's history after a Unix time in seconds.
func (f *Feed) past(id fleet.ID, since float64) (History, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.fleets[id]
	if !ok {
		return History{}, false
	}
	points, changes := p.history.points(since), p.history.changes.list()
	return History{Fleet: id, Columns: columns(points), Changes: changes}, true
}

// subscribe adds a reader, or fails with errFull.
func (f *Feed) subscribe() (*subscriber, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.subscribers) >= f.limit {
		return nil, errFull
	}
	sub := &subscriber{wake: make(chan struct{}, 1)}
	f.subscribers[sub] = struct{}{}
	return sub, nil
}

func (f *Feed) unsubscribe(sub *subscriber) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.subscribers, sub)
}
