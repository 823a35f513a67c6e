// Package roll calls the roll of a fleet: who is there, who is late, and who is dead. It turns heartbeats into the load
// model that every decision is made from. It decides on values and on the Redis server's time alone.
package roll

import (
	"fmt"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// Book is what one replica remembers of a fleet between two readings. The zero value has seen nothing.
// It is for one goroutine.
type Book struct {
	// now is the server's time of the newest reading; readable says that no reading failed since.
	now      time.Time
	readable bool
	// watched is when the unbroken run of readings began that reaches to now: nobody is missed for longer than that.
	watched time.Time
	nodes   map[fleet.NodeID]*entry
	// dropped remembers when the last heartbeat of a node arrived that was dropped, while Redis still holds it.
	dropped map[fleet.NodeID]time.Time
	// unheard holds since when each node that the table names has been missing here.
	unheard map[fleet.NodeID]time.Time
	// pending holds since when each replica that was asked for does not serve, the oldest first. Those that are here and
	// start have the first of them.
	pending []time.Time
	// unborn remembers the nodes that were dropped before they served: one that comes back under its name is still starting.
	unborn map[fleet.NodeID]attempt

	fleet fleet.ID
	// cluster is what Kubernetes last said; nil outside of one.
	cluster *load.Cluster
	// mutes are its pods that do not speak. hushed are those of them that spoke once, with how often they had begun anew then.
	mutes  map[fleet.NodeID]mute
	hushed map[fleet.NodeID]int
}

// entry is one node's newest heartbeat.
type entry struct {
	beat load.Heartbeat
	// since is when it began to start: its life's beginning, or an earlier one's when that never got to serve.
	since  time.Time
	served bool
	dead   bool
	// lively says that a heartbeat came in time while this replica listened. pod says that Kubernetes has told of the node's
	// pod, and restarts how often its containers had certainly begun anew before it last spoke.
	lively   bool
	pod      bool
	restarts int
}

// attempt is a start that failed: since when it was tried, and when it was given up.
type attempt struct{ since, left time.Time }

// Missed says that Redis could not be read: from here on nobody is missed until it was readable for long enough again.
func (b *Book) Missed() { b.readable = false }

// Watched is how long the unbroken run of readings has lasted.
func (b *Book) Watched() time.Duration {
	if !b.readable {
		return 0
	}
	return b.now.Sub(b.watched)
}

// Read takes the heartbeats that Redis held at now, in any order. A heartbeat that cannot be believed (from the future,
// sent before, of an earlier life of its node) is left out and named in bad; what was known of its node stays.
func (b *Book) Read(p policy.Policy, now time.Time, beats []load.Heartbeat) (bad []error) {
	if b.nodes == nil {
		b.nodes, b.dropped, b.unborn = map[fleet.NodeID]*entry{}, map[fleet.NodeID]time.Time{}, map[fleet.NodeID]attempt{}
	}
	b.turn(p, now)
	stored := make(map[fleet.NodeID]struct{}, len(beats))
	for i := range beats {
		stored[beats[i].Node] = struct{}{}
		if err := b.take(p, beats[i]); err != nil {
			bad = append(bad, err)
		}
	}
	for id := range b.dropped {
		if _, still := stored[id]; !still {
			delete(b.dropped, id)
		}
	}
	for id, a := range b.unborn {
		if now.Sub(a.left) > p.StartTimeout {
			delete(b.unborn, id)
		}
	}
	return bad
}

// turn moves the clock. A gap that could hide heartbeats, or a clock that another server set back or far ahead, starts the
// watch anew: silence counts only while this replica listened.
func (b *Book) turn(p policy.Policy, now time.Time) {
	if !b.readable || now.Before(b.now) || now.Sub(b.now) > p.StaleAfter() {
		b.watched = now
	}
	if now.Before(b.now) {
		b.rewind(now)
	}
	b.now, b.readable = now, true
}

// rewind brings every remembered time to now at most, so that nothing stays young for ever.
func (b *Book) rewind(now time.Time) {
	for _, e := range b.nodes {
		e.beat.At, e.since = earlier(e.beat.At, now), earlier(e.since, now)
	}
	for id, at := range b.dropped {
		b.dropped[id] = earlier(at, now)
	}
	for id, m := range b.mutes {
		m.since, m.homeless = earlier(m.since, now), earlier(m.homeless, now)
		b.mutes[id] = m
	}
	for id, at := range b.unheard {
		b.unheard[id] = earlier(at, now)
	}
	for i, at := range b.pending {
		b.pending[i] = earlier(at, now)
	}
	for id, a := range b.unborn {
		b.unborn[id] = attempt{since: earlier(a.since, now), left: earlier(a.left, now)}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// take believes one heartbeat or says why not.
func (b *Book) take(p policy.Policy, beat load.Heartbeat) error {
	if ahead := beat.At.Sub(b.now); ahead > p.HeartbeatInterval {
		return fmt.Errorf("heartbeat of %s comes %s from the future of the Redis server's clock", beat.Node, ahead)
	}
	beat.At = earlier(beat.At, b.now)
	if at, dropped := b.dropped[beat.Node]; dropped {
		if !beat.At.After(at) {
			return nil
		}
		delete(b.dropped, beat.Node)
	}
	known, ok := b.nodes[beat.Node]
	if !ok {
		first := born(beat)
		if a, again := b.unborn[beat.Node]; again {
			first.since = earlier(first.since, a.since)
			delete(b.unborn, beat.Node)
		}
		first.lively = b.age(first) <= p.StaleAfter()
		b.nodes[beat.Node] = first
		return nil
	}
	return b.renew(p, known, beat)
}

// born is a node at the first heartbeat of a life.
func born(beat load.Heartbeat) *entry {
	return &entry{beat: beat, since: beat.At.Add(-beat.Uptime), served: beat.State == fleet.Serving}
}

// renew compares a heartbeat with the one before.
func (b *Book) renew(p policy.Policy, known *entry, beat load.Heartbeat) error {
	last := &known.beat
	switch {
	case beat.Incarnation == last.Incarnation && beat.Sequence > last.Sequence:
		known.beat, known.dead, known.lively = beat, false, true
		b.heard(known)
		known.served = known.served || beat.State == fleet.Serving
	case beat.Incarnation == last.Incarnation && beat.Sequence == last.Sequence && !beat.At.After(last.At):
		// Still the one that is known.
	case beat.Incarnation == last.Incarnation:
		return fmt.Errorf("heartbeat %d of %s was sent before: it already sent %d", beat.Sequence, beat.Node, last.Sequence)
	case beat.Incarnation > last.Incarnation, b.late(p, known):
		// A later life, or one whose clock was set back while nobody else uses the name.
		next := born(beat)
		next.lively, next.pod, next.restarts = true, known.pod, known.restarts
		b.heard(next)
		if !known.served {
			// A crash loop is one long start, however often it begins.
			next.since = earlier(next.since, known.since)
		}
		*known = *next
	default:
		return fmt.Errorf("heartbeat of %s is of life %d: life %d of that node is newer", beat.Node, beat.Incarnation, last.Incarnation)
	}
	return nil
}

// age is how old the newest heartbeat is.
func (b *Book) age(e *entry) time.Duration { return max(0, b.now.Sub(e.beat.At)) }

// late says that heartbeats are missing, whoever's fault that is.
func (b *Book) late(p policy.Policy, e *entry) bool { return e.dead || b.age(e) > p.StaleAfter() }

// silent is for how long the node has sent nothing while this replica could have read it.
func (b *Book) silent(e *entry) time.Duration { return min(b.age(e), b.Watched()) }
