package decide

import (
	"time"

	"github.com/tidegate/tidegate/balancer/forecast"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
)

// scaleIn takes nodes away, down to target at most, where every rule about leaving allows it.
func scaleIn(c *circumstances, want, target int) verdict {
	v := verdict{desired: c.current(), want: want}
	if v.limit = c.mayShrink(); v.limit != "" {
		return v
	}
	if v.limit = c.quietEnough(); v.limit != "" {
		return v
	}
	room := c.room()
	need, soon := c.lately(), c.soon()
	for v.desired > target && c.current()-v.desired < room && c.carries(max(need, soon), v.desired-1) {
		v.desired--
	}
	switch {
	case v.desired == target:
		v.limit = c.clamped(v)
	case c.current()-v.desired >= room:
		v.limit = decision.LimitBudget
	case !c.carries(c.look.need, v.desired-1):
		v.limit = decision.LimitHeadroom
	case !c.carries(need, v.desired-1):
		v.limit = decision.LimitDelay
	default:
		v.limit = decision.LimitRising
	}
	return v
}

// lately is the largest need of the delay, with the margin of now.
func (c *circumstances) lately() float64 {
	return c.memory.largest(c.p, c.look.unmargined) * c.look.work.Margin
}

// soon is the need that the trend would lead to within the time that a node must stay away for its leaving to be worth the moves.
func (c *circumstances) soon() float64 {
	w := &c.look.work
	if !c.p.Settle.Learn || !(w.Demand > 0) {
		return 0
	}
	growth := forecast.Ahead(*c.p, w.Demand, w.Slope*w.Trust, c.p.Settle.Worth.Seconds()) / w.Demand
	return c.look.unit * growth * w.Margin
}

// shrink brings a fleet down to a maximum that was lowered below what runs. The operator's word replaces the question
// whether the rest can carry it; the budget, the steps and the wait for fresh data stay, because sessions are at stake.
func shrink(c *circumstances) verdict {
	v := verdict{desired: c.current(), want: c.look.work.Want}
	if v.limit = c.mayShrink(); v.limit != "" {
		return v
	}
	v.desired = max(c.p.MaxReplicas, c.current()-c.room())
	v.limit = decision.LimitMax
	if v.desired > c.p.MaxReplicas {
		v.limit = decision.LimitBudget
	}
	return v
}

// mayShrink names what forbids any node to leave now; empty when nothing does.
func (c *circumstances) mayShrink() string {
	switch {
	case c.kept:
		return decision.LimitPaused
	case c.coming() > 0:
		return decision.LimitStarting
	case c.doubtful():
		return decision.LimitStale
	case !c.memory.LastIn.IsZero() && c.now.Sub(c.memory.LastIn) < c.stepIn():
		return decision.LimitStep
	case c.room() <= 0:
		return decision.LimitBudget
	default:
		return ""
	}
}

// doubtful says that something is not known that a leaver could depend on.
func (c *circumstances) doubtful() bool { return c.r.in.Stale > 0 || c.backwards || c.unheard }

// stepIn is the least time between two scale-ins.
func (c *circumstances) stepIn() time.Duration {
	if c.p.Kind == policy.Table {
		return c.p.Steps.InWait
	}
	return c.p.ScaleInStep
}

// quietEnough asks for a whole delay that was watched, and for a fleet where nothing hurts.
func (c *circumstances) quietEnough() string {
	switch {
	case c.memory.Storm.Holds():
		return decision.LimitStorm
	case c.now.Sub(c.memory.Watched) < c.p.ScaleInDelay:
		return decision.LimitDelay
	case c.urgency > decision.Balanced && c.cause != decision.ReasonHotspot:
		// One hot node is cured by moving shards; it is no reason to keep a whole night's idle fleet.
		return decision.LimitHeadroom
	default:
		return ""
	}
}

// appear is how many lead times a replica that was asked for may take to show itself before it is no longer waited for.
const appear = 2

// coming counts what starts: nodes that warm up, replicas known to be on their way, and those just asked for that nobody has
// seen yet.
func (c *circumstances) coming() int {
	starting := c.r.in.Starting
	if !c.memory.LastOut.IsZero() && c.now.Sub(c.memory.LastOut) < appear*c.p.LeadTime() {
		starting += max(0, c.absent()-c.r.pending)
	}
	return starting
}

// absent counts the replicas that were decided and of which there is no node.
func (c *circumstances) absent() int { return max(0, c.current()-c.r.alive) }

// excess counts the nodes beyond the count that stands: they have to leave, and no answer of ours can speed that up. In
// shadow mode somebody else decides what runs, so nothing is in excess.
func (c *circumstances) excess() int {
	if c.p.Mode == policy.Shadow {
		return 0
	}
	return max(0, c.r.alive-c.current())
}

// room is how many more nodes may leave inside the disruption budget.
func (c *circumstances) room() int {
	leaving := c.r.in.Draining + max(c.r.in.Leaving, c.excess())
	return c.p.Budget(min(c.r.alive, c.current())) - leaving
}

// carries says that a fleet cut to desired still has the need below Hysteresis of what would really serve. Kubernetes
// takes away first what is not there or not ready, so only the remainder of a cut costs serving nodes.
func (c *circumstances) carries(need float64, desired int) bool {
	unserving := c.absent() + c.r.stuckNodes
	leaving := max(0, c.excess()-c.r.in.Leaving)
	lost := max(0, c.current()-desired+leaving-unserving)
	stay := min(desired, c.r.in.Serving-lost)
	return stay > 0 && need < c.hysteresis*float64(stay)
}
