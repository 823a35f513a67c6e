package roll

import (
	"slices"
	"strings"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// mute is a pod of which no heartbeat is known. Its times are the Redis server's, as all of the book's: the pod's own
// creation time comes from another clock.
type mute struct {
	// since is when the book first saw it.
	since time.Time
	// failed says that Kubernetes gave up on it once, and that it has not become ready since: a crash loop looks healthy for
	// the moments in which it runs.
	failed bool
	// homeless is since when no machine has had room for it; zero while one has.
	homeless time.Time
}

// homelessLeads is how many lead times a pod may wait for a machine: a cluster autoscaler starts with a pod that none has room
// for, and brings one in a few minutes.
const homelessLeads = 5

// stuck says that a pod is not waited for any more.
func (m mute) stuck(p policy.Policy, now time.Time) bool {
	return m.failed || !m.homeless.IsZero() && now.Sub(m.homeless) > homelessLeads*p.LeadTime()
}

// See takes what Kubernetes says at the newest reading; nil says that it says nothing, and the book goes by heartbeats alone.
// A node that is silent though Redis answered and whose pod is gone is dead: there is nobody to probe.
func (b *Book) See(p policy.Policy, c *load.Cluster) {
	b.cluster = c
	if c == nil {
		b.mutes, b.hushed = nil, nil
		return
	}
	for id, e := range b.nodes {
		pod, exists := c.Pods[id]
		switch {
		case exists:
			if !e.pod {
				e.pod, e.restarts = true, pod.Restarts
			}
		// A pod that Kubernetes has never told of may be younger than what it last told.
		case (e.pod || !e.lively) && b.silent(e) > p.StaleAfter():
			e.dead = true
		}
	}
	b.listen(c)
}

// listen remembers the pods that do not speak.
func (b *Book) listen(c *load.Cluster) {
	mutes := make(map[fleet.NodeID]mute, len(b.mutes))
	for id, pod := range c.Pods {
		if _, speaks := b.nodes[id]; speaks {
			continue
		}
		m, before := b.mutes[id]
		if !before {
			m.since = b.now
		}
		mutes[id] = m.after(pod, b.now)
	}
	b.mutes = mutes
	for id, restarts := range b.hushed {
		pod, exists := c.Pods[id]
		if _, muted := mutes[id]; !exists || !muted || pod.Restarts > restarts {
			delete(b.hushed, id)
		}
	}
}

// after is what a pod's newest state makes of it.
func (m mute) after(pod load.Pod, now time.Time) mute {
	switch {
	case pod.Trouble != load.Unschedulable:
		m.homeless = time.Time{}
		m.failed = pod.Trouble != "" || m.failed && !pod.Ready
	case m.homeless.IsZero():
		m.homeless = now
	}
	return m
}

// hush remembers that a node was dropped that spoke once and whose pod still exists: it counts until its pod is gone or
// begins anew.
func (b *Book) hush(id fleet.NodeID, e *entry) {
	if e.dead {
		b.keepHushed(id, e.restarts)
	}
}

// keepHushed remembers a node that carried clients when it last spoke, as long as its pod exists.
func (b *Book) keepHushed(id fleet.NodeID, restarts int) {
	if b.cluster == nil {
		return
	}
	if _, exists := b.cluster.Pods[id]; !exists {
		return
	}
	if b.hushed == nil {
		b.hushed = map[fleet.NodeID]int{}
	}
	b.hushed[id] = restarts
}

// unnamed remembers a node that the table named until now and that never spoke to this replica: who gave it shards had heard
// it. A later leader must know that as long as the pod exists.
func (b *Book) unnamed(id fleet.NodeID) {
	if _, speaks := b.nodes[id]; !speaks && b.cluster != nil {
		b.keepHushed(id, b.cluster.Pods[id].Restarts)
	}
}

// heard is a node's heartbeat that is taken now. A restart that Kubernetes tells of from here on may come after it, so that
// only those count that it told of before.
func (b *Book) heard(e *entry) {
	if b.cluster == nil {
		return
	}
	if pod, exists := b.cluster.Pods[e.beat.Node]; exists {
		e.pod, e.restarts = true, pod.Restarts
	}
}

// goneForGood says that Kubernetes knows the fleet and has no such pod.
func (b *Book) goneForGood(id fleet.NodeID) bool {
	if b.cluster == nil {
		return false
	}
	_, exists := b.cluster.Pods[id]
	return !exists
}

// leaves says that the node's pod was asked to go.
func (b *Book) leaves(id fleet.NodeID) bool { return b.cluster != nil && b.cluster.Pods[id].Deleting }

// silentPods sorts the pods of which no heartbeat is known: those that must be there and carry something unknown, and those
// that start, the longest first. One that is asked to go before it ever spoke is neither.
func (b *Book) silentPods(p policy.Policy) (stale []load.Node, starting []mute) {
	for id, m := range b.mutes {
		if _, named := b.unheard[id]; named {
			continue // counted as one that the table names
		}
		pod := b.cluster.Pods[id]
		switch {
		case b.carries(p, id, m, pod):
			state := fleet.Starting
			if pod.Deleting {
				state = fleet.Draining
			}
			stale = append(stale, load.Node{
				Heartbeat: load.Heartbeat{Fleet: b.fleet, Node: id, State: state},
				State:     state, Age: b.now.Sub(m.since), Stale: true, Since: m.since,
			})
		case !pod.Deleting:
			starting = append(starting, m)
		}
	}
	slices.SortFunc(starting, func(x, y mute) int { return x.since.Compare(y.since) })
	return stale, starting
}

// carries tells whether a silent pod may hold sessions: it did when it last spoke, or it is ready, or was, though it has had the
// time to speak.
func (b *Book) carries(p policy.Policy, id fleet.NodeID, m mute, pod load.Pod) bool {
	if pod.Trouble != "" {
		return false
	}
	if _, spoke := b.hushed[id]; spoke {
		return true
	}
	return (pod.Ready || pod.Fell) && min(b.now.Sub(m.since), b.Watched()) > p.StartTime
}

// count fills in the replicas that do not speak: the pods that start, and those asked for that are no pod yet. here and
// served are the nodes that are there and those that have served.
func (b *Book) count(p policy.Policy, f *load.Fleet, desired, here, served int, starting []mute) {
	b.await(max(0, desired-served))
	missing := min(max(0, desired-here-len(starting)), len(b.pending))
	f.Pending = len(starting) + missing
	first := len(b.pending) - f.Pending
	for i := range f.Pending {
		since, stuck := b.now, false
		if i < len(starting) {
			since, stuck = starting[i].since, starting[i].stuck(p, b.now)
		}
		if first+i >= 0 {
			// As old as the wish for it: each try may be a pod of another name.
			since = earlier(since, b.pending[first+i])
		}
		if stuck || b.now.Sub(since) > p.StartTimeout {
			f.Stuck++
		}
	}
}

func byNode(x, y load.Node) int { return strings.Compare(string(x.Node), string(y.Node)) }
