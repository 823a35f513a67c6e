package placement

import (
	"math"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/shard"
)

// How far a limit must be off before it is told anew: each word is a new table for every node. A limit that is too high is
// corrected sooner.
const (
	limitFalls     = 0.03
	limitRises     = 0.06
	handshakeBand  = 0.25
	leastCost      = 1e-9
	mostHandshakes = 1_000_000
)

// limit is what the node may take of clients it does not know, by what was learned: sessions until it is at the admission's
// ceiling, and as many handshakes a second as fit below it. It starts from what the node really uses, so that a wrong
// model keeps nobody out of a node that has room. Where nothing was learned the node goes by its own limits.
func limit(p policy.Placement, m Model, n *Node, fleetwide Level) shard.Limit {
	rate := 0.0
	if fleetwide.Clients > 0 {
		rate = fleetwide.Messages / fleetwide.Clients
	}
	sessions, handshakes := math.Inf(1), math.Inf(1)
	bound := func(c Cost, used, scale, ceiling float64) {
		steady := c.steady(used, n.Level)
		// Of a node above the ceiling it is not known how much of its use is handshakes: what is beyond 1 is not measured.
		over := min(1, max(0, used-ceiling)/max(leastRoom, 1-ceiling))
		left := ceiling - steady - over*(used-steady)
		if each := scale * (c.PerClient + c.PerMessage*rate); each > leastCost {
			sessions = min(sessions, n.Level.Clients+left/each)
		}
		if c.PerHandshake > leastCost {
			handshakes = min(handshakes, left/c.PerHandshake)
		}
	}
	if m.LearnedCPU && p.AdmissionCPU > 0 {
		bound(m.CPU, n.Level.CPU, n.Stand.Scale.CPU, p.AdmissionCPU)
	}
	if m.LearnedMemory && p.AdmissionMemory > 0 {
		bound(m.Memory, n.Level.Memory, n.Stand.Scale.Memory, p.AdmissionMemory)
	}
	return shard.Limit{
		Sessions:   told(sessions, n.Limit.Sessions, limitFalls, limitRises, math.MaxInt32),
		Handshakes: told(handshakes, n.Limit.Handshakes, handshakeBand, handshakeBand, mostHandshakes),
	}
}

// told is the limit to tell: the last one while the new one is near it; 0 when there is none.
func told(fresh float64, last int, falls, rises, most float64) int {
	if math.IsInf(fresh, 1) || math.IsNaN(fresh) {
		return 0
	}
	fresh = min(max(1, math.Floor(fresh)), most)
	if l := float64(last); last > 0 && fresh > l*(1-falls) && fresh < l*(1+rises) {
		return last
	}
	return int(fresh)
}
