// Package victim orders a fleet's nodes by who should leave first.
package victim

import (
	"cmp"
	"slices"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// Order lists the nodes that can leave, the first to go first: those not ready, because Kubernetes deletes them first
// whatever they cost; then those already draining or leaving, because they have been told; then by the least to lose:
// connections, messages a second, the youngest, the id. Nodes that are gone hold nothing and are not listed.
// Readings that are not numbers count as least. The input is not changed.
func Order(nodes []load.Node) []fleet.NodeID {
	candidates := make([]*load.Node, 0, len(nodes))
	for i := range nodes {
		if nodes[i].State != fleet.Gone {
			candidates = append(candidates, &nodes[i])
		}
	}
	slices.SortFunc(candidates, compare)
	out := make([]fleet.NodeID, len(candidates))
	for i, n := range candidates {
		out[i] = n.Node
	}
	return out
}

// Pick answers who leaves when count nodes go: those nominated first, in their order, because their shards already warm up
// elsewhere; then as Order says. Who drains or is gone has left already and is passed over, so that a cut that meets a drain
// does not run out of names. It returns fewer than count when there are not as many.
func Pick(nominated []fleet.NodeID, nodes []load.Node, count int) []fleet.NodeID {
	free := make(map[fleet.NodeID]bool, len(nodes))
	for i := range nodes {
		free[nodes[i].Node] = nodes[i].State != fleet.Draining && nodes[i].State != fleet.Gone
	}
	picked := make([]fleet.NodeID, 0, min(max(0, count), len(nodes)))
	for _, ids := range [][]fleet.NodeID{nominated, Order(nodes)} {
		for _, id := range ids {
			if len(picked) < count && free[id] {
				free[id] = false
				picked = append(picked, id)
			}
		}
	}
	return picked
}

// compare is a total order on distinct nodes, so that every replica names the same victims.
func compare(a, b *load.Node) int {
	return cmp.Or(
		cmp.Compare(class(a.State), class(b.State)),
		cmp.Compare(a.Connections, b.Connections),
		cmp.Compare(a.MessagesPerSecond, b.MessagesPerSecond),
		cmp.Compare(a.Uptime, b.Uptime),
		cmp.Compare(a.Node, b.Node),
	)
}

// class ranks what comes before any loss.
func class(s fleet.State) int {
	switch s {
	case fleet.Starting:
		return 0
	case fleet.Draining:
		return 1
	case fleet.Leaving:
		return 2
	default:
		return 3
	}
}
