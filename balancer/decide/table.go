package decide

import (
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
)

// table is the urgency table acting by itself: steps out by urgency, growth and streak, single steps in when all is quiet.
func table(c *circumstances) verdict {
	held := verdict{desired: c.current(), want: c.current()}
	if c.current() < c.p.MinReplicas {
		return verdict{desired: c.p.MinReplicas, want: c.current(), limit: decision.LimitMin}
	}
	if base := tableBase(c.p.Steps, c.urgency); base > 0 {
		return tableOut(c, held, base)
	}
	return tableIn(c, held)
}

// tableOut counts from the nodes that serve, so that asking again asks for no more; what starts is waited for.
func tableOut(c *circumstances, held verdict, base int) verdict {
	steps := c.p.Steps
	want := c.r.in.Serving + min(steps.Most, base+growthStep(c)+c.memory.inRow(c.p, c.now))
	held.want = max(held.want, want)
	switch {
	case c.coming() > 0:
		held.limit = decision.LimitStarting
		return held
	case c.sinceStep() < steps.OutWait:
		held.limit = decision.LimitTableWait
		return held
	}
	held.desired = max(held.desired, min(want, c.p.MaxReplicas))
	held.limit = c.clamped(held)
	return held
}

// tableIn lets one node go when the fleet is quiet and stays so without it.
func tableIn(c *circumstances, held verdict) verdict {
	if c.current() <= c.p.MinReplicas || c.r.in.Serving <= c.p.MinReplicas || !quiet(c) {
		return held
	}
	held.want = c.current() - 1
	switch {
	case !stays(c):
		held.limit = decision.LimitHeadroom
	case c.mayShrink() != "":
		held.limit = c.mayShrink()
		if held.limit == decision.LimitStep {
			held.limit = decision.LimitTableWait
		}
	case c.now.Sub(c.memory.Watched) < c.p.Steps.InWait:
		// A leader that has not watched that long cannot know when the last step was.
		held.limit = decision.LimitTableWait
	default:
		held.desired = held.want
	}
	return held
}

func tableBase(steps policy.Steps, u decision.Urgency) int {
	switch u {
	case decision.Critical:
		return steps.Critical
	case decision.High:
		return steps.High
	case decision.Moderate:
		return steps.Moderate
	default:
		return 0
	}
}

// sinceStep is the age of the last step in either direction; a fleet that never took one has waited long enough.
func (c *circumstances) sinceStep() time.Duration {
	last := c.memory.LastOut
	if c.memory.LastIn.After(last) {
		last = c.memory.LastIn
	}
	if last.IsZero() {
		return c.p.Steps.OutWait
	}
	return c.now.Sub(last)
}

// The nodes that growth adds.
const (
	fastGrowthStep = 2
	slowGrowthStep = 1
)

// growthStep adds nodes when load has grown although a scale-out has just been made.
func growthStep(c *circumstances) int {
	if !c.memory.grewLately(c.p, c.now) {
		return 0
	}
	switch g := growth(c.p.Steps, c.memory.Snapshot, snapshot(c.r.in)); {
	case g > c.p.Steps.GrowthFast:
		return fastGrowthStep
	case g > c.p.Steps.GrowthSlow:
		return slowGrowthStep
	default:
		return 0
	}
}

// growth is the weighted ratio of the load to an earlier one.
func growth(s policy.Steps, then, now Snapshot) float64 {
	return s.WeightCPU*ratio(now.CPU, then.CPU, s.RatioCap) +
		s.WeightMemory*ratio(now.Memory, then.Memory, s.RatioCap) +
		s.WeightMessages*ratio(now.Messages, then.Messages, s.RatioCap) +
		s.WeightConnections*ratio(now.Connections, then.Connections, s.RatioCap) +
		s.WeightLatency*min(s.RatioCap, ratio(float64(now.P95Latency), float64(then.P95Latency), s.RatioCap))
}

// ratio is now over then; from nothing it is 1 while there is nothing, else fromNothing.
func ratio(now, then, fromNothing float64) float64 {
	switch {
	case then > 0:
		return now / then
	case now > 0:
		return fromNothing
	default:
		return 1
	}
}

func snapshot(in decision.Inputs) Snapshot {
	return Snapshot{
		CPU: in.CPU, Memory: in.Memory, Messages: in.MessagesPerSecond,
		Connections: float64(in.Connections), P95Latency: in.P95Latency,
	}
}

func quiet(c *circumstances) bool {
	s, in := c.p.Steps, c.r.in
	return in.CPU < s.QuietCPU && in.Memory < s.QuietMemory && in.P95Latency < s.QuietLatency && in.InboxLag < s.QuietLag
}

// stays asks whether N-1 nodes would still be below the limits with the work of N.
func stays(c *circumstances) bool {
	n := float64(c.r.in.Serving)
	if n < 2 {
		return false
	}
	return c.r.in.CPU*n/(n-1) < c.p.Steps.StaysCPU && c.r.in.Memory*n/(n-1) < c.p.Steps.StaysMemory
}
