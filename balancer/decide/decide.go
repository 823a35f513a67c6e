// Package decide is the assembled rule: load model and memory in, absolute replica count with its reasons out.
//
// It decides on values alone: no clock but the model's, no I/O, and its inputs are never changed, so that a new leader, a
// backtest and a test run the same code and reach the same count.
package decide

import (
	"slices"
	"time"

	"github.com/tidegate/tidegate/balancer/hindsight"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/balancer/urgency"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// Next decides how many nodes a fleet should have, and returns the memory to decide with the next time.
//
// The policy must be valid. One moment is decided on once: the same Now again returns the same decision and memory, whatever
// else the model says. A model that cannot be trusted (Redis not reachable, no policy known, more than StaleQuorum of the nodes stale) returns
// the last decision with its old expiry, the reason for holding in Reason and Note, and the memory as it was; before any
// decision that answer has expired already. Fence is left to the caller. Next is safe for concurrent use.
func Next(p policy.Policy, s State, f load.Fleet) (decision.Decision, State) {
	now := f.Now.UTC().Round(0)
	r := read(&p, &f, s.Last.Victims)
	if why, held := hold(&p, &f, &r); held {
		return holding(&p, &s, &f, why), s
	}
	if s.Decided && now.Equal(s.Now) {
		return handOut(s.Last), s
	}
	c := &circumstances{p: &p, now: now, backwards: now.Before(s.Now), memory: s.advance(&p, now, &r).count(f.Cluster, now), r: &r}
	if f.Cluster != nil {
		c.unheard, c.kept = f.Cluster.Stale, f.Cluster.Kept != ""
	}
	c.lookAhead()
	c.urgency, c.cause = urgency.Of(p, r.in, f.Nodes)
	v := choose(c)
	a := ask(c, v.desired, f.Cluster)
	d := c.compose(f.ID, v, a)
	d.Victims = nominate(c, a.rest(c, v.desired, f.Cluster), f.Nodes)
	d.Note = note(c, &d, a.words)
	c.memory.remember(c, &d)
	return handOut(d), c.memory
}

// handOut separates a decision from the memory that keeps it: a caller may do with its victims what it likes.
func handOut(d decision.Decision) decision.Decision {
	d.Victims = slices.Clone(d.Victims)
	return d
}

// circumstances are everything one decision is made from.
type circumstances struct {
	p   *policy.Policy
	now time.Time
	// backwards says that the server's clock stepped back since the last decision: nothing may leave on such a reading.
	backwards bool
	// unheard says that what Kubernetes said may be over, and kept that a user lets it take no pod away.
	unheard, kept bool
	// memory is advanced to now.
	memory State
	r      *reading
	look   outlook
	// hysteresis is the part of what would stay that the need must be below before a node leaves; regret is why it may differ
	// from the policy's.
	hysteresis float64
	regret     float64
	urgency    decision.Urgency
	cause      string
}

// lookAhead learns from what has come true, and says what will be needed.
func (c *circumstances) lookAhead() {
	m := &c.memory
	level, age := m.level(c.p)
	m.weather(c.p, level.Connected)
	m.judge(c.p, level)
	c.look = m.expect(c.p, level, age, c.r.in.Serving+c.r.in.Leaving)
	m.promise(c.p, &c.look)
	c.regret = m.Hindsight.Regret(*c.p, c.now)
	c.hysteresis = hindsight.Room(*c.p, c.regret)
	c.look.work.Regret = c.regret
}

// verdict is what a rule chose: the count, the count it wanted before limits, and the limit that stood between.
type verdict struct {
	desired int
	want    int
	limit   string
}

// choose applies the rule that the policy names.
func choose(c *circumstances) verdict {
	switch {
	case !c.memory.Decided:
		return first(c)
	case c.current() > c.p.MaxReplicas:
		return shrink(c)
	case c.p.Kind == policy.Table:
		return table(c)
	default:
		return count(c)
	}
}

// first is the answer for a fleet about which nothing was ever decided. What runs or was asked for stays, even above the
// maximum: one reading is no ground to take anything away, and what is too much leaves in steps like everything else.
func first(c *circumstances) verdict {
	want := c.look.work.Want
	running := c.r.alive + c.r.pending
	if c.p.Kind == policy.Table {
		// The table has no count of its own: it steps from what runs.
		want = running
	}
	v := verdict{want: want, desired: max(min(want, c.p.MaxReplicas), c.p.MinReplicas, running)}
	v.limit = c.clamped(v)
	return v
}

// count is the default rule: the answer is the need itself, at once on the way out, step by step on the way in.
func count(c *circumstances) verdict {
	want := c.look.work.Want
	target := min(max(want, c.p.MinReplicas), c.p.MaxReplicas)
	if target < c.current() {
		return scaleIn(c, want, target)
	}
	v := verdict{desired: target, want: want}
	v.limit = c.clamped(v)
	return v
}

// clamped names the bound that kept the count from what was wanted.
func (c *circumstances) clamped(v verdict) string {
	switch {
	case v.want > v.desired:
		return decision.LimitMax
	case v.want < v.desired && v.desired == c.p.MinReplicas:
		return decision.LimitMin
	default:
		return ""
	}
}

// current is the count that stands.
func (c *circumstances) current() int { return c.memory.Last.Desired }

// compose fills in the decision but for its victims and its note.
func (c *circumstances) compose(id fleet.ID, v verdict, a asking) decision.Decision {
	last := c.memory.Last
	d := decision.Decision{
		Fleet: id, Sequence: last.Sequence, At: last.At,
		RefreshedAt: c.now, ExpiresAt: c.now.Add(c.p.DecisionTTL),
		Desired: v.desired, Answer: a.answer, AnswerLasts: a.lasts, Urgency: c.urgency, Reason: c.reason(v), LimitedBy: v.limit,
		Policy: string(c.p.Kind), Mode: string(c.p.Mode),
		Inputs: c.r.in, Working: c.look.work,
	}
	d.Working.Want = v.want
	if !c.memory.Decided || v.desired != last.Desired {
		d.At = c.now
	}
	if !c.memory.Decided || v.desired != last.Desired || a.answer != last.Answer {
		d.Sequence++
	}
	return d
}

// reason prefers the urgency table's row: it says what hurts, where the count only says which way it goes.
func (c *circumstances) reason(v verdict) string {
	switch {
	case !c.memory.Decided:
		return decision.ReasonFirst
	case c.urgency > decision.Balanced:
		return c.cause
	case v.desired > c.current():
		return decision.ReasonDemand
	case v.desired < c.current():
		return decision.ReasonQuiet
	default:
		return decision.ReasonBalanced
	}
}
