package decide

import (
	"math"
	"time"

	"github.com/tidegate/tidegate/balancer/capacity"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
)

// Beliefs are what a count rests on besides the load: everything that is learned.
//
// What is learned changes with time, and the target must not (rule 3). So a decision rests on the beliefs that were last taken
// up, and newer ones that would raise the target are taken up only when the load has moved since, or a node has begun to
// serve: while all stands still, and while pods that were asked for do not start, no belief asks for more.
type Beliefs struct {
	Model  capacity.Model `json:"model"`
	Margin float64        `json:"margin,omitempty"`
	// Trust is the part of a trend that is believed.
	Trust        float64       `json:"trust,omitempty"`
	Lead         time.Duration `json:"leadNanos,omitempty"`
	LeadMeasured bool          `json:"leadMeasured,omitempty"`
	// Clients, Messages and Serving are the load and the nodes with which they were taken up.
	Clients  float64 `json:"clients"`
	Messages float64 `json:"messages"`
	Serving  int     `json:"serving"`
}

// stir is the part by which a load must differ to have moved.
const stir = 0.02

// known says that there are any beliefs.
func (b *Beliefs) known() bool { return b.Margin > 0 }

// stale says that the load has moved or a node has begun to serve since the beliefs were taken up.
func (b *Beliefs) stale(level capacity.Load, serving int) bool {
	return serving > b.Serving || differs(level.Clients, b.Clients) || differs(level.Messages, b.Messages)
}

func differs(now, then float64) bool { return math.Abs(now-then) > stir*max(then, 1) }

// believe is what has been learned by now.
func (s *State) believe(p *policy.Policy, level capacity.Load, serving int) Beliefs {
	b := Beliefs{
		Model: s.Model, Margin: s.Errors.Margin(*p), Trust: s.Record.Belief(*p),
		Clients: level.Clients, Messages: level.Messages, Serving: serving,
	}
	start, measured := s.Starts.Time(*p)
	b.Lead, b.LeadMeasured = p.HPAPeriod+start, measured
	return b
}

// expect looks ahead on the newest beliefs, or on those that were taken up last where the newest ask for more without reason. While
// what was asked for does not serve, forecasts fail for want of it, and no larger margin helps.
func (s *State) expect(p *policy.Policy, level capacity.Load, age float64, serving int) outlook {
	fresh := s.believe(p, level, serving)
	if s.Decided && s.Beliefs.known() && serving < s.Last.Desired {
		fresh.Margin = min(fresh.Margin, s.Beliefs.Margin)
	}
	o := ahead(p, s, level, age, fresh)
	if s.Decided && s.Beliefs.known() && o.work.Want > s.Last.Desired && !s.Beliefs.stale(level, serving) {
		return ahead(p, s, level, age, s.Beliefs)
	}
	s.Beliefs = fresh
	return o
}

// believed are the beliefs of a decision, for a leader who knows nothing else.
func believed(d *decision.Decision) Beliefs {
	w := d.Working
	b := Beliefs{
		Model: w.Capacity, Margin: w.Margin, Trust: w.Trust, Lead: w.Lead, LeadMeasured: w.LeadMeasured,
		Clients: w.Demand, Messages: w.Messages, Serving: d.Inputs.Serving,
	}
	if b.validate() != nil {
		return Beliefs{}
	}
	return b
}
