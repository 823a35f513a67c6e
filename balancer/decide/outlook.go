package decide

import (
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
}

// ahead carries the remembered level forward and counts the nodes it needs.
func ahead(p policy.Policy, s State) outlook {
	level, age := mean(s)
	slope := forecast.Trend(p, level.Clients, line(s, p.SlopeShort.Microseconds()), line(s, p.SlopeLong.Microseconds()))
	expected := forecast.Ahead(p, level.Clients, slope, p.LeadTime().Seconds()+age)
	growth := 1.0
	if level.Clients > 0 {
		growth = expected / level.Clients
	}
	needs := capacity.Of(p, level, growth)
	need, from := needs.Most()
	return outlook{need: need, from: from, work: decision.Working{
		Demand: level.Clients, Messages: level.Messages,
		Forecast: expected, Slope: slope, Lead: p.LeadTime(), Margin: p.Margin,
		ConnectionsPerPod: p.ConnectionsPerPod, MessagesPerPod: p.MessagesPerPod,
		WantConnections: needs.Connections, WantMessages: needs.Messages, WantCPU: needs.CPU, WantMemory: needs.Memory,
		Want: capacity.Whole(need),
	}}
}

// mean is the level of load, and how many seconds old its middle is: the forecast starts there.
func mean(s State) (level capacity.Load, age float64) {
	var n, old float64
	for _, b := range s.Levels {
		n += float64(b.N)
		old += float64(b.N) * float64(s.Now.UnixMicro()-b.At)
		level.Clients += b.Clients
		level.Messages += b.Messages
		level.CPU += b.CPU
		level.Memory += b.Memory
	}
	if n == 0 {
		return capacity.Load{}, 0
	}
	level.Clients /= n
	level.Messages /= n
	level.CPU /= n
	level.Memory /= n
	return level, old / n / microsecond
}

// microsecond is how many of them a second has.
const microsecond = 1e6

// line draws the trend of connected clients over the last window.
func line(s State, windowMicros int64) forecast.Line {
	oldest := s.Now.UnixMicro() - windowMicros
	points := make([]forecast.Point, 0, len(s.Trends))
	for _, b := range s.Trends {
		if b.At <= oldest {
			continue
		}
		n := float64(b.N)
		points = append(points, forecast.Point{
			// Times are taken from the window's start: a float64 of absolute microseconds would be coarse.
			At:    (float64(b.At-oldest) + float64(b.Off)/n) / microsecond,
			Value: b.Clients / n,
		})
	}
	return forecast.Through(points)
}
