package socket

import (
	"sync"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
)

// How a session left a node that drains.
const (
	// byItself: it moved when it was told, or its client went.
	byItself int32 = iota
	// inTurn: its turn in the paced close came.
	inTurn
	// byForce: the time was up, or short.
	byForce
)

// lifecycle is the state a node is in, and its drain once there is one. It is safe for concurrent use.
type lifecycle struct {
	mu      sync.Mutex
	current fleet.State
	drain   *departure
}

// departure is a drain. Its fields are guarded by the lifecycle's lock.
type departure struct {
	reason   string
	started  time.Time
	deadline time.Time
	atStart  int
	counts   [3]int
	forced   bool
	ended    time.Time
	// done is closed when the node is empty or the deadline has passed.
	done chan struct{}
}

func newLifecycle() *lifecycle { return &lifecycle{current: fleet.Starting} }

func (l *lifecycle) state() fleet.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

// serve ends the starting; it reports whether the state changed.
func (l *lifecycle) serve() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != fleet.Starting {
		return false
	}
	l.current = fleet.Serving
	return true
}

// depart begins the drain. A second call changes nothing and gets the first one's.
func (l *lifecycle) depart(reason string, now time.Time, timeout time.Duration, sessions int) (d *departure, fresh bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drain != nil {
		return l.drain, false
	}
	l.current = fleet.Draining
	l.drain = &departure{
		reason: reason, started: now, deadline: now.Add(timeout), atStart: sessions, done: make(chan struct{}),
	}
	return l.drain, true
}

// departing returns the drain, nil without one, and its deadline.
func (l *lifecycle) departing() (d *departure, deadline time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drain == nil {
		return nil, time.Time{}
	}
	return l.drain, l.drain.deadline
}

// hurried notes that the drain goes faster than the pace; it reports whether that is new.
func (l *lifecycle) hurried() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drain == nil || l.drain.forced {
		return false
	}
	l.drain.forced = true
	return true
}

// left counts a session that has ended during the drain.
func (l *lifecycle) left(how int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drain != nil {
		l.drain.counts[how]++
	}
}

// finish ends the drain; it reports whether this call did.
func (l *lifecycle) finish(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drain == nil || !l.drain.ended.IsZero() {
		return false
	}
	l.drain.ended = now
	close(l.drain.done)
	return true
}

// Summary is how far a drain is, as the admin port tells it.
type Summary struct {
	Node  fleet.NodeID `json:"node"`
	State fleet.State  `json:"state"`
	// Reason is why the node drains; empty while it does not.
	Reason   string     `json:"reason,omitempty"`
	Started  *time.Time `json:"startedAt,omitempty"`
	Deadline *time.Time `json:"deadline,omitempty"`
	// ElapsedMillis runs from the start of the drain to its end, or until now.
	ElapsedMillis int64 `json:"elapsedMs"`
	// Sessions is how many there were at the start; Moved left when they were told, Closed in their turn of the paced
	// close, Forced because the time was short. Left are still here.
	Sessions int `json:"sessions"`
	Moved    int `json:"moved"`
	Closed   int `json:"closed"`
	Forced   int `json:"forced"`
	Left     int `json:"left"`
	// Done says that the drain has ended: the node is empty or the deadline has passed.
	Done bool `json:"done"`
	// Hurried says that the deadline demanded more than the pace.
	Hurried bool `json:"hurried"`
}

// summary describes the drain; left is how many connections are open.
func (l *lifecycle) summary(id fleet.NodeID, now time.Time, left int) Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Summary{Node: id, State: l.current, Left: left}
	d := l.drain
	if d == nil {
		return s
	}
	until := now
	if s.Done = !d.ended.IsZero(); s.Done {
		until = d.ended
	}
	started, deadline := d.started.UTC().Round(0), d.deadline.UTC().Round(0)
	s.Reason, s.Started, s.Deadline, s.Hurried = d.reason, &started, &deadline, d.forced
	s.ElapsedMillis = until.Sub(d.started).Milliseconds()
	s.Sessions, s.Moved, s.Closed, s.Forced = d.atStart, d.counts[byItself], d.counts[inTurn], d.counts[byForce]
	return s
}
