package placement

import (
	"math"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
)

const (
	// heaviest bounds a weight: what is measured may be wrong, and the others must stay of use.
	heaviest = 1.25
	// mostRefused is how much of its weight a node loses at most because it refuses handshakes that others take.
	mostRefused = 0.5
	// weightMemory is how slowly weights follow what is seen of a node.
	weightMemory = time.Minute
	// firstRush is how many clients a second must ask before it tells anything that a node refuses some.
	firstRush = 20
	// deadband is how far a weight must be from the one in use before it replaces it, and warmBand below it on a node that is
	// warm: its share must fit what it can carry before it gives shards away.
	deadband = 0.15
	warmBand = 0.05
)

// weigh tells what a node may carry, relative to the others: 1 is a node as the fleet has them. How fast a node is changes
// slowly, so its weight follows slowly, and the last one stays while it differs little: jitter and a passing rush move nothing.
func weigh(p policy.Policy, m Model, n *Node, fleetwide Level, passed time.Duration) (weight, trend float64) {
	spread := p.Placement.WeightSpread
	if !(spread > 0) {
		return 1, 1
	}
	fresh := min(m.CPU.weight(n.Level.CPU, n.Level, p.PlacementRoom), m.Memory.weight(n.Level.Memory, n.Level, p.PlacementRoom))
	if n.open() {
		fresh *= taken(n.Level, fleetwide)
	}
	fresh = min(max(fresh, 1-spread), heaviest)
	if !(n.Weight > 0) {
		return fresh, fresh
	}
	trend = n.trend + followedPart(passed, weightMemory)*(fresh-n.trend)
	band := deadband
	if trend < n.Weight && n.Stand.use(m, n.Level.Traffic).most() >= p.Placement.HotspotCool {
		band = warmBand
	}
	if math.Abs(trend-n.Weight) < band*n.Weight {
		return n.Weight, trend
	}
	return trend, trend
}

// open tells whether the node has room by count, so that it refuses for the rate of handshakes only.
func (n *Node) open() bool {
	const nearly = 0.95
	return (n.Most <= 0 || n.Connected < nearly*n.Most) && (n.Limit.Sessions <= 0 || n.Connected < nearly*float64(n.Limit.Sessions))
}

// weight is the node's room below the ceiling without what its own clients use, so that it does not follow from the shards that
// the node happens to own. Use that its clients do not explain is a neighbour that takes a fixed part of the node, or a
// slower node on which each client costs more. At the ceiling the two come to the same; below it the kinder reading
// counts, since it moves nobody before that is needed.
func (c Cost) weight(used float64, l Level, ceiling float64) float64 {
	if !c.known() {
		return 1
	}
	own, free := c.of(l.Traffic), room(c, ceiling)
	unexplained := c.steady(used, l) - c.Base - own
	neighbour := (free - unexplained) / free
	if own < explained {
		return neighbour
	}
	slower := own / max(own+unexplained, own/slowest)
	if unexplained > 0 {
		return max(neighbour, slower)
	}
	return min(neighbour, slower)
}

// taken is the part of the asked handshakes that the node takes, against the fleet's: what its handshake rate can bear. Where all
// refuse alike nobody is to blame.
func taken(l, fleetwide Level) float64 {
	asked, all := l.Handshakes+l.Refused, fleetwide.Handshakes+fleetwide.Refused
	if l.Refused <= 0 || asked < firstRush || fleetwide.Handshakes <= 0 || all <= 0 {
		return 1
	}
	return min(1, max(mostRefused, l.Handshakes/asked/(fleetwide.Handshakes/all)))
}
