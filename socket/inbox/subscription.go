package inbox

import (
	"sync"
	"sync/atomic"

	"github.com/tidegate/tidegate/internal/shard"
)

// The phases of a subscription. Leaving is: detached while a Deliver runs.
const (
	idle int32 = iota
	delivering
	leaving
	detached
)

// Subscription is one client's place in its shard's log. Its methods are safe for concurrent use.
type Subscription struct {
	shard    *reader
	client   string
	receiver Receiver
	// from is the offset above which the client wants messages; it may be newer than what this node has read.
	from  int64
	begin sync.Once
	phase atomic.Int32
	// gone is closed when the subscription has ended.
	gone chan struct{}
	// live says that the shard's reader delivers; before, whoever catches up does. It changes under the shard's lock.
	live atomic.Bool
	// handed is the offset up to which the catch-up has handed everything out.
	handed atomic.Int64
	// at is where the catch-up stands; only whoever catches up uses it.
	at int64
}

// Client is the client that subscribed.
func (s *Subscription) Client() string { return s.client }

// Shard is the client's shard.
func (s *Subscription) Shard() shard.ID { return s.shard.id }

// Receiver is what the messages go to.
func (s *Subscription) Receiver() Receiver { return s.receiver }

// Begin starts the deliveries. Calling it again does nothing.
func (s *Subscription) Begin() { s.begin.Do(func() { s.shard.catchUp(s) }) }

// Detach ends the subscription: no Deliver starts after it returned. One that another goroutine started before may
// still run. Calling it again does nothing.
func (s *Subscription) Detach() {
	if s.end() {
		s.shard.forget(s)
	}
}

// Position is the offset up to which everything was handed to Deliver: the client needs nothing up to there but what
// it was handed already.
func (s *Subscription) Position() int64 {
	if !s.live.Load() {
		return s.handed.Load()
	}
	return max(s.handed.Load(), s.shard.delivered.Load())
}

// end moves the subscription to its last phase and says whether this call did.
func (s *Subscription) end() bool {
	for !s.ended() {
		if s.phase.CompareAndSwap(idle, detached) || s.phase.CompareAndSwap(delivering, leaving) {
			close(s.gone)
			return true
		}
	}
	return false
}

func (s *Subscription) ended() bool {
	phase := s.phase.Load()
	return phase == leaving || phase == detached
}

// deliver hands one message out and says whether the subscription goes on.
func (s *Subscription) deliver(m Message) bool {
	if !s.phase.CompareAndSwap(idle, delivering) {
		return false
	}
	s.receiver.Deliver(m)
	if s.phase.CompareAndSwap(delivering, idle) {
		return true
	}
	s.phase.Store(detached)
	return false
}

// room is how many messages the receiver takes now, at most most.
func (s *Subscription) room(most int) int {
	if p, paced := s.receiver.(Pacer); paced {
		return max(min(p.Room(), most), 0)
	}
	return most
}
