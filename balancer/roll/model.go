package roll

import (
	"slices"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// Standing is what the newest decision says of the fleet; zero before there is one.
type Standing struct {
	Desired int
	Victims []fleet.NodeID
}

// Fleet is the load model at the newest reading.
func (b *Book) Fleet(p policy.Policy, id fleet.ID, s Standing) load.Fleet {
	b.fleet = id
	f := load.Fleet{ID: id, Now: b.now, Reachable: b.readable, Nodes: make([]load.Node, 0, len(b.nodes)), Cluster: b.cluster}
	here, served := 0, 0
	for node, e := range b.nodes {
		n := load.Node{
			Heartbeat: e.beat, State: e.beat.State,
			Age: b.age(e), Stale: b.late(p, e), Since: e.since,
		}
		if n.State == fleet.Serving && slices.Contains(s.Victims, node) {
			n.State = fleet.Leaving
		}
		if n.State != fleet.Gone && b.leaves(node) {
			n.State = fleet.Draining // its own word comes with its next heartbeat
		}
		// A draining node is on its way out: who asked for so many replicas did not mean this one.
		if n.State != fleet.Draining && n.State != fleet.Gone {
			here++
			if e.served {
				served++
			}
		}
		f.Nodes = append(f.Nodes, n)
	}
	for node, since := range b.unheard {
		// It carries an unknown load: as a starting node it is in no average, as a stale one it keeps everything in place.
		f.Nodes = append(f.Nodes, load.Node{
			Heartbeat: load.Heartbeat{Fleet: id, Node: node, State: fleet.Starting},
			State:     fleet.Starting, Age: b.now.Sub(since), Stale: true, Since: since,
		})
		here++
		served++ // for all that is known
	}
	stale, starting := b.silentPods(p)
	for _, n := range stale {
		if n.State != fleet.Draining {
			here++
			served++
		}
	}
	f.Nodes = append(f.Nodes, stale...)
	slices.SortFunc(f.Nodes, byNode)
	b.count(p, &f, s.Desired, here, served, starting)
	return f
}

// await remembers since when replicas do not serve. Who serves counts as the one that was asked for first; to arrive is not
// enough, or a replica that dies before it serves would be asked for anew, again and again, and never be late.
func (b *Book) await(unserved int) {
	if n := len(b.pending); unserved < n {
		b.pending = slices.Delete(b.pending, 0, n-unserved)
		return
	}
	// Bounded, since a desired count comes from outside.
	for len(b.pending) < min(unserved, maxPending) {
		b.pending = append(b.pending, b.now)
	}
}

// maxPending bounds the memory of replicas that never came.
const maxPending = 100_000

// Node is one node's newest heartbeat.
func (b *Book) Node(id fleet.NodeID) (load.Heartbeat, bool) {
	e, ok := b.nodes[id]
	if !ok {
		return load.Heartbeat{}, false
	}
	return e.beat, true
}

// Now is the Redis server's time of the newest reading.
func (b *Book) Now() time.Time { return b.now }
