package placement

import (
	"math"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

const (
	// lightest and heaviest bound a weight: what is measured may be wrong, and a node must stay of use.
	lightest = 0.25
	heaviest = 1.25
	// mostRefused is how much of its weight a node loses at most because it refuses handshakes.
	mostRefused = 0.5
	// deadband is how far a weight must be from the one in use before it replaces it.
	deadband = 0.15
	// firstLoad is how many clients a fleet must have for each node before its use tells anything.
	firstLoad = 20
)

// Weights tells what each node may carry, relative to the others: 1 is a node as the fleet has them.
//
// A node's weight is its room below the ceiling (a fraction of CPU and memory, 0.80 by default) without
// what its own clients use, so that a weight does not follow from the shards a node happens to own: a node
// whose use is above what the fleet's mean cost of a client explains (a slower CPU, a noisy neighbour) has
// less room. A node that refuses handshakes carries less by the part that it refuses, to at most half.
//
// Previous holds the weights in use; one that differs by less than 15 % stays, so that jitter moves nothing.
func Weights(nodes []load.Node, previous map[fleet.NodeID]float64, ceiling float64) map[fleet.NodeID]float64 {
	cost := costOfClient(nodes)
	weights := make(map[fleet.NodeID]float64, len(nodes))
	for i := range nodes {
		n := &nodes[i]
		used, known := previous[n.Node]
		if n.Stale && known {
			weights[n.Node] = used
			continue
		}
		fresh := weight(n, cost, ceiling)
		if known && math.Abs(fresh-used) < deadband*used {
			fresh = used
		}
		weights[n.Node] = fresh
	}
	return weights
}

// weight is what one node may carry when a client costs this much of a node.
func weight(n *load.Node, cost, ceiling float64) float64 {
	if cost == 0 || !(ceiling > 0) {
		return 1
	}
	unexplained := use(n) - cost*clients(n)
	room := min(max((ceiling-unexplained)/ceiling, lightest), heaviest)
	if asked := n.HandshakesPerSecond + n.RefusedPerSecond; n.RefusedPerSecond > 0 && asked >= 1 {
		room *= max(n.HandshakesPerSecond/asked, mostRefused)
	}
	return max(room, lightest)
}

// costOfClient is the part of a node that one client costs on the mean over serving nodes; 0 is unknown.
func costOfClient(nodes []load.Node) float64 {
	used, held, serving := 0.0, 0.0, 0
	for i := range nodes {
		if n := &nodes[i]; n.State == fleet.Serving && !n.Stale {
			used += use(n)
			held += clients(n)
			serving++
		}
	}
	if serving < 2 || held < firstLoad*float64(serving) {
		return 0
	}
	return used / held
}

// use is how much of the node is used, by what it has least of.
func use(n *load.Node) float64 { return max(n.CPU, n.Memory) }

func clients(n *load.Node) float64 { return float64(n.Connections) + n.MessagesPerSecond }
