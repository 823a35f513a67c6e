package placement

import (
	"math"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/shard"
)

const (
	// How slowly limits follow what is seen, down sooner than up: sessions stay, so that one too many is worse than a
	// handshake. What must at least halve follows at once.
	limitRose      = 30 * time.Second
	handshakesFell = 15 * time.Second
	sessionsFell   = 3 * time.Second
	// How far a limit must be off before it is told anew, and of handshakes besides how much CPU or memory they must be worth:
	// near the ceiling little is left, and every reading would be far off. A limit that is too high is corrected sooner.
	limitFalls    = 0.03
	limitRises    = 0.06
	handshakeBand = 0.25
	handshakeUse  = 0.03
	// A limit of sessions is told from when it is so near to what the node holds until it is so far from it, as multiples; a
	// handful of sessions is always near. In between a node goes by the limit of handshakes, which a rush meets first.
	limitNears   = 1.3
	limitParts   = 1.5
	nearSessions = 20

	leastCost      = 1e-9
	mostHandshakes = 1_000_000
)

// bounds are what a node can take as far as is known, without the noise of single seconds; infinite where nothing is known.
type bounds struct {
	sessions, handshakes float64
	// least is a number of handshakes a second that hardly counts.
	least float64
}

// limit is what the node may take of clients it does not know, by what was learned: sessions until it is at the admission's
// ceiling, and as many handshakes a second as fit below it. Where nothing was learned the node goes by its own limits.
func limit(p policy.Placement, m Model, n *Node, fleetwide Level, passed time.Duration) (shard.Limit, bounds) {
	fresh, known := bound(p, m, n, fleetwide), n.bounds
	known.least = fresh.least
	known.sessions = followedBound(known.sessions, fresh.sessions, n.Limit.Sessions, 0, passed, sessionsFell)
	known.handshakes = followedBound(known.handshakes, fresh.handshakes, n.Limit.Handshakes, 2*known.least, passed, handshakesFell)
	return shard.Limit{
		Sessions:   sessionsTold(known.sessions, n.Level.Clients, n.Limit.Sessions),
		Handshakes: handshakesTold(known.handshakes, known.least, n.Limit.Handshakes),
	}, known
}

// bound starts from what the node really uses, so that a wrong model keeps nobody out of a node that has room.
func bound(p policy.Placement, m Model, n *Node, fleetwide Level) bounds {
	rate := 0.0
	if fleetwide.Clients > 0 {
		rate = fleetwide.Messages / fleetwide.Clients
	}
	b := bounds{sessions: math.Inf(1), handshakes: math.Inf(1)}
	add := func(c Cost, used, scale, ceiling float64) {
		steady := c.steady(used, n.Level)
		// Of a node above the ceiling it is not known how much of its use is handshakes: what is beyond 1 is not measured.
		over := min(1, max(0, used-ceiling)/max(leastRoom, 1-ceiling))
		left := ceiling - steady - over*(used-steady)
		if each := scale * (c.PerClient + c.PerMessage*rate); each > leastCost {
			b.sessions = min(b.sessions, n.Level.Clients+left/each)
		}
		if c.PerHandshake > leastCost && left/c.PerHandshake < b.handshakes {
			b.handshakes, b.least = left/c.PerHandshake, handshakeUse/c.PerHandshake
		}
	}
	if m.LearnedCPU && p.AdmissionCPU > 0 {
		add(m.CPU, n.Level.CPU, n.Stand.Scale.CPU, p.AdmissionCPU)
	}
	if m.LearnedMemory && p.AdmissionMemory > 0 {
		add(m.Memory, n.Level.Memory, n.Stand.Scale.Memory, p.AdmissionMemory)
	}
	return b
}

// followedBound goes slowly to a fresh figure, and at once where there is none to go from or what was told must at least halve.
func followedBound(known, fresh float64, told int, least float64, passed, falls time.Duration) float64 {
	halves := told > 0 && max(1, fresh) <= float64(told)/2 && float64(told)-fresh > least
	if halves || !finite(fresh) || !finite(known) || known == 0 {
		return fresh
	}
	memory := limitRose
	if fresh < known {
		memory = falls
	}
	return known + followedPart(passed, memory)*(fresh-known)
}

// sessionsTold is the limit to tell: the last one while the new one is near it; 0 is none.
func sessionsTold(fresh, held float64, last int) int {
	near := limitNears
	if last > 0 {
		near = limitParts
	}
	if !finite(fresh) || fresh > near*held+nearSessions {
		return 0
	}
	fresh = min(max(1, math.Floor(fresh)), math.MaxInt32)
	if l := float64(last); last > 0 && fresh > l*(1-limitFalls) && fresh < l*(1+limitRises) {
		return last
	}
	return int(fresh)
}

// handshakesTold is told however quiet the node is: a rush is over sooner than word of it reaches anybody.
func handshakesTold(fresh, least float64, last int) int {
	if !finite(fresh) {
		return 0
	}
	fresh = min(max(1, math.Floor(fresh)), mostHandshakes)
	if l := float64(last); last > 0 && math.Abs(fresh-l) < max(handshakeBand*l, least) {
		return last
	}
	return int(fresh)
}

func finite(x float64) bool { return !math.IsInf(x, 0) && !math.IsNaN(x) }
