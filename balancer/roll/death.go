package roll

import (
	"slices"
	"strings"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/fleet"
)

// Suspect is a node that missed its heartbeats while Redis answered. Only a probe tells whether it is dead.
type Suspect struct {
	Node fleet.NodeID
	// AdminURL is the base of the node's admin port, as it last said.
	AdminURL string
}

// Suspects lists the nodes to probe now, sorted. When Redis was away, or the watch is younger than the silence that
// counts, there are none: an outage kills nobody.
func (b *Book) Suspects(p policy.Policy) []Suspect {
	var suspects []Suspect
	for id, e := range b.nodes {
		if !e.dead && e.beat.State != fleet.Gone && b.silent(e) > p.StaleAfter() {
			suspects = append(suspects, Suspect{Node: id, AdminURL: e.beat.AdminURL})
		}
	}
	slices.SortFunc(suspects, func(a, c Suspect) int { return strings.Compare(string(a.Node), string(c.Node)) })
	return suspects
}

// Judge takes the probe of a suspect: one that does not answer is dead, one that answers is dead once it has been silent
// for as long as the policy allows.
func (b *Book) Judge(p policy.Policy, id fleet.NodeID, answered bool) {
	e, ok := b.nodes[id]
	if !ok || b.silent(e) <= p.StaleAfter() {
		return
	}
	e.dead = !answered || b.silent(e) > p.SilentDeath
}

// Over reports a node that will not serve again: dead, or gone by its own word.
func (b *Book) Over(id fleet.NodeID) bool {
	e, ok := b.nodes[id]
	return ok && e.over()
}

func (e *entry) over() bool { return e.dead || e.beat.State == fleet.Gone }

// Drop forgets the nodes that are over and hold no shard any more, and returns them, sorted. They stay forgotten while
// Redis still holds their last heartbeat.
func (b *Book) Drop(holds func(fleet.NodeID) bool) []fleet.NodeID {
	var left []fleet.NodeID
	for id, e := range b.nodes {
		if e.over() && !holds(id) {
			left = append(left, id)
			b.hush(id, e)
			b.dropped[id] = e.beat.At
			if !e.served {
				b.unborn[id] = attempt{since: e.since, left: b.now}
			}
			delete(b.nodes, id)
		}
	}
	slices.Sort(left)
	return left
}

// Expect tells which nodes the shard table names. One of which no heartbeat is known (Redis lost its data, and this replica
// is new) counts as stale, and as dead once it has been unheard of for as long as the policy allows a silent node, since nobody
// knows where to probe it; where Kubernetes has no such pod, as soon as its heartbeats are missing.
func (b *Book) Expect(p policy.Policy, named []fleet.NodeID) (dead []fleet.NodeID) {
	unheard := map[fleet.NodeID]time.Time{}
	for _, id := range named {
		if _, known := b.nodes[id]; known {
			continue
		}
		since, before := b.unheard[id]
		if !before {
			since = b.now
		}
		unheard[id] = since
		patience := p.SilentDeath
		if b.goneForGood(id) {
			patience = p.StaleAfter()
		}
		if min(b.now.Sub(since), b.Watched()) > patience {
			dead = append(dead, id)
		}
	}
	for id := range b.unheard {
		if _, still := unheard[id]; !still {
			b.unnamed(id)
		}
	}
	b.unheard = unheard
	slices.Sort(dead)
	return dead
}
