package decide

import (
	"slices"
	"strings"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/balancer/victim"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// nominate names the nodes that leave so that desired remain. A nomination stays with its node, because its shards are
// already warming up elsewhere; it ends when the node drains or is gone, and is withdrawn, the last made first, when fewer
// have to leave. New ones are made only while nothing starts and nothing is stale: what is too much then may be a rollout's
// surge, or a dead node that is about to be forgotten. Shadow mode nominates nobody.
func nominate(c *circumstances, desired int, nodes []load.Node) []fleet.NodeID {
	if c.p.Mode == policy.Shadow {
		return nil
	}
	excess := max(0, c.r.alive-desired)
	if excess == 0 {
		return nil
	}
	var victims []fleet.NodeID
	for _, id := range c.memory.Last.Victims {
		if len(victims) < excess && canLeave(nodes, id) {
			victims = append(victims, id)
		}
	}
	if len(victims) == excess || c.r.in.Starting > 0 || c.doubtful() {
		return victims
	}
	for _, id := range victim.Order(nodes) {
		if len(victims) == excess {
			break
		}
		if canLeave(nodes, id) && !slices.Contains(victims, id) {
			victims = append(victims, id)
		}
	}
	return victims
}

// canLeave says that the node is there and has not begun to drain.
func canLeave(nodes []load.Node, id fleet.NodeID) bool {
	i, there := slices.BinarySearchFunc(nodes, id, func(n load.Node, id fleet.NodeID) int { return strings.Compare(string(n.Node), string(id)) })
	return there && nodes[i].State != fleet.Draining && nodes[i].State != fleet.Gone
}
