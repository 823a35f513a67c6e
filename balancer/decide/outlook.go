package decide

import (
	"time"

	"github.com/tidegate/tidegate/balancer/capacity"
	"github.com/tidegate/tidegate/balancer/forecast"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
)

// outlook is what the fleet will need by the time a new pod can serve.
type outlook struct {
	work decision.Working
	// need is the count before rounding and limits; from is the dimension it comes from.
	need float64
	from capacity.Dimension
	// unmargined is the need before the margin, unit that of the level as it is, and age how many seconds old the level is.
	unmargined float64
	unit       float64
	age        float64
	// rise is what the trend adds within the lead time, whether believed or not, in clients.
	rise float64
}

// ahead carries the remembered level forward and counts the nodes it needs, on what is believed.
func ahead(p *policy.Policy, s *State, level capacity.Load, age float64, b Beliefs) outlook {
	o := outlook{age: age}
	seconds := b.Lead.Seconds() + age
	slope := 0.0
	if !s.Storm.Holds() {
		slope = forecast.Limited(forecast.Trend(*p, level.Clients, s.Quick, s.Slow), s.Crush)
	}
	trust, growth := 0.0, 1.0
	if level.Clients > 0 {
		o.rise = slope * seconds
		trust = forecast.Trust(*p, b.Trust, o.rise/level.Clients)
		growth = forecast.Ahead(*p, level.Clients, slope*trust, seconds) / level.Clients
	}
	needs := capacity.Of(*p, b.Model, level, 1, 1)
	o.unit, o.from = needs.Most()
	o.unmargined = capacity.Bounded(o.unit * growth)
	factor := growth * b.Margin
	o.need = capacity.Bounded(o.unit * factor)
	perClient, perMessage := capacity.PerPod(*p, b.Model, level, o.unit)
	o.work = decision.Working{
		Demand: level.Clients, Messages: level.Messages, Capacity: b.Model,
		Forecast: level.Clients * growth, Slope: slope, Trust: trust, Lead: b.Lead, LeadMeasured: b.LeadMeasured,
		Margin: b.Margin, MarginWatched: s.Errors.Rests(),
		ConnectionsPerPod: perClient, MessagesPerPod: perMessage,
		WantConnections: capacity.Bounded(needs.Connections * factor), WantMessages: capacity.Bounded(needs.Messages * factor),
		WantCPU: capacity.Bounded(needs.CPU * factor), WantMemory: capacity.Bounded(needs.Memory * factor),
		Want: capacity.Whole(o.need), StormUntil: s.Storm.Until,
	}
	return o
}

// level is the level of load, and how many seconds old its middle is: the forecast starts there. It is the mean of the window,
// which is calm, or that of its newest quarter where load has jumped: a jump is not noise, and half a window is a long time.
func (s *State) level(p *policy.Policy) (level capacity.Load, age float64) {
	level, age, _ = s.mean(p.LevelWindow)
	newest, newestAge, readings := s.mean(p.LevelWindow / newestPart)
	jump := 1 + p.LevelJump
	if readings >= fewestNewest && (newest.Clients > jump*level.Clients || newest.Messages > jump*level.Messages || newest.Serving.CPU > jump*level.Serving.CPU) {
		return newest, newestAge
	}
	return level, age
}

const (
	// newestPart is the part of the level's window that is its newest.
	newestPart = 4
	// fewestNewest is how many readings it must have.
	fewestNewest = 4
)

// mean is the mean of load over a window, the age of its middle in seconds, and how many readings it is of.
func (s *State) mean(window time.Duration) (level capacity.Load, age, readings float64) {
	oldest := s.Now.Add(-window).UnixMicro()
	var n, old float64
	var sum Level
	add := func(b *Level) {
		if b.N == 0 || b.At <= oldest {
			return
		}
		n += float64(b.N)
		old += float64(b.N) * float64(s.Now.UnixMicro()-b.At)
		sum.Clients += b.Clients
		sum.Connected += b.Connected
		sum.Messages += b.Messages
		sum.Churn += b.Churn
		sum.Limit += b.Limit
		sum.Hot += b.Hot
		sum.Serving.join(b.Serving)
		sum.Others.join(b.Others)
	}
	for i := range s.Levels {
		add(&s.Levels[i])
	}
	add(&s.Level)
	if n == 0 {
		return capacity.Load{}, 0, 0
	}
	return capacity.Load{
		Clients: sum.Clients / n, Connected: sum.Connected / n, Messages: sum.Messages / n,
		Churn: sum.Churn / n, Limit: sum.Limit / n, Hot: sum.Hot / n,
		Serving: sum.Serving.mean(n), Others: sum.Others.mean(n),
	}, old / n / microsecond, n
}

// microsecond is how many of them a second has.
const microsecond = 1e6
