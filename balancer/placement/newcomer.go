package placement

import (
	"math"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/fleet"
)

// Shares tells which part of the newcomers each serving node should take, for fleets whose clients stay where they are: in
// proportion to the clients that still fit below the placement's ceiling, so that new nodes fill first, a node that is slow,
// hot or full gets none, and none gets more than its handshakes can bear. Where none has room all take by what they have
// left of themselves. The shares add up to 1; without a serving node that is heard there are none.
func Shares(p policy.Policy, pic Picture) map[fleet.NodeID]float64 {
	open := make([]opening, 0, len(pic.Nodes))
	fleetwide := sum(pic.Nodes)
	arrivals := fleetwide.Handshakes + fleetwide.Refused
	for i := range pic.Nodes {
		if n := &pic.Nodes[i]; n.Serving && !n.Stale {
			open = append(open, openingOf(p, pic.Model, n, fleetwide, arrivals))
		}
	}
	share := poured(open, func(o opening) float64 { return o.room })
	if share == nil {
		share = poured(open, func(o opening) float64 { return o.left })
	}
	return share
}

// opening is what a node offers to newcomers.
type opening struct {
	id fleet.NodeID
	// room is how many clients fit, left what remains of the node where none fit anywhere, and most the largest share of the
	// newcomers that its handshakes can bear.
	room, left, most float64
}

func openingOf(p policy.Policy, m Model, n *Node, fleetwide Level, arrivals float64) opening {
	o := opening{id: n.ID, room: math.Inf(1), left: n.Weight * max(leastWeight, 1-n.Level.most()), most: 1}
	rate := 0.0
	if fleetwide.Clients > 0 {
		rate = fleetwide.Messages / fleetwide.Clients
	}
	fit := func(c Cost, used, scale float64) {
		free := max(0, p.PlacementRoom-c.steady(used, n.Level))
		if each := max(1, scale) * (c.PerClient + c.PerMessage*rate); each > leastCost {
			o.room = min(o.room, max(0, free/each+n.Level.Clients-n.Connected))
		}
		if c.PerHandshake > leastCost && arrivals > 0 {
			o.most = min(o.most, free/c.PerHandshake/arrivals)
		}
	}
	fit(m.CPU, n.Level.CPU, n.Stand.Scale.CPU)
	fit(m.Memory, n.Level.Memory, n.Stand.Scale.Memory)
	if n.Most > 0 {
		o.room = min(o.room, max(0, n.Most-n.Connected))
	}
	if math.IsInf(o.room, 1) {
		o.room = n.Weight / (1 + n.Connected) // nothing is known of clients' cost: the fewest clients are the most room
	}
	return o
}

// poured divides the newcomers by what the rule says, nobody above the most it can bear while others can take the rest; nil
// when the rule gives nothing to anybody.
func poured(open []opening, rule func(opening) float64) map[fleet.NodeID]float64 {
	share := make(map[fleet.NodeID]float64, len(open))
	left, rest := 1.0, append([]opening(nil), open...)
	for len(rest) > 0 && left > 0 {
		total := 0.0
		for _, o := range rest {
			total += rule(o)
		}
		if !(total > 0) {
			break
		}
		var under []opening
		given := 0.0
		for _, o := range rest {
			if want := left * rule(o) / total; want > o.most {
				share[o.id] = o.most
				given += o.most
				continue
			}
			under = append(under, o)
		}
		if len(under) == len(rest) {
			for _, o := range under {
				share[o.id] = left * rule(o) / total
			}
			return share
		}
		rest, left = under, left-given
	}
	return evened(share)
}

// evened brings shares to 1 where all are at the most they can bear: what cannot be borne is borne alike.
func evened(share map[fleet.NodeID]float64) map[fleet.NodeID]float64 {
	total := 0.0
	for _, part := range share {
		total += part
	}
	if !(total > 0) {
		return nil
	}
	for id := range share {
		share[id] /= total
	}
	return share
}
