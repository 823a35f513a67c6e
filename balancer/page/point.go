package page

import (
	"math"
	"time"
)

// Point is what the charts keep of one snapshot.
type Point struct {
	// At is Unix time in seconds, the unit of the charts' axis.
	At       float64 `json:"at"`
	Serving  int     `json:"serving"`
	Starting int     `json:"starting"`
	// Away counts nodes that leave or drain.
	Away    int `json:"away"`
	Desired int `json:"desired"`
	// Asked is what the fleet was asked for, which in shadow mode is not what was decided; 0 where it was not known.
	Asked       int `json:"asked"`
	Urgency     int `json:"urgency"`
	Connections int `json:"connections"`
	// Forecast is the demand expected by the time a pod asked for now can serve.
	Forecast float64 `json:"forecast"`
	// Room is the clients that the serving nodes can carry; 0 when capacity is unknown.
	Room              float64 `json:"room"`
	MessagesPerSecond float64 `json:"messagesPerSecond"`
	P95Millis         float64 `json:"p95Millis"`
	CPU               float64 `json:"cpu"`
	Memory            float64 `json:"memory"`
}

// pointOf keeps what the charts need; Totals must be filled.
func pointOf(s Snapshot) Point {
	t, w := s.Totals, s.Decision.Working
	return Point{
		At: seconds(s.Now), Serving: t.Serving, Starting: t.Starting, Away: t.Leaving + t.Draining,
		Desired: s.Decision.Desired, Asked: s.Asked, Urgency: int(s.Decision.Urgency), Connections: t.Connections,
		Forecast:          math.Round(w.Forecast),
		Room:              math.Round(float64(t.Serving) * w.ConnectionsPerPod),
		MessagesPerSecond: round(t.MessagesPerSecond, 10),
		P95Millis:         round(float64(t.P95)/float64(time.Millisecond), 100),
		CPU:               round(t.CPU, 1000),
		Memory:            round(t.Memory, 1000),
	}
}

// merge folds a later point of the same minute into p: counts as they are now, and of what may hurt the worst,
// so that a short burst stays visible in a coarse chart.
func (p Point) merge(later Point) Point {
	later.Urgency = max(p.Urgency, later.Urgency)
	later.Connections = max(p.Connections, later.Connections)
	later.Forecast = max(p.Forecast, later.Forecast)
	later.MessagesPerSecond = max(p.MessagesPerSecond, later.MessagesPerSecond)
	later.P95Millis = max(p.P95Millis, later.P95Millis)
	later.CPU = max(p.CPU, later.CPU)
	later.Memory = max(p.Memory, later.Memory)
	return later
}

// seconds is Unix time with milliseconds as a fraction.
func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

// round cuts digits that nobody reads and that would double the size of a history.
func round(x, scale float64) float64 { return math.Round(x*scale) / scale }

// Columns are points turned by ninety degrees, as the charts read them; all have the same length.
type Columns struct {
	At                []float64 `json:"at"`
	Serving           []int     `json:"serving"`
	Starting          []int     `json:"starting"`
	Away              []int     `json:"away"`
	Desired           []int     `json:"desired"`
	Asked             []int     `json:"asked"`
	Urgency           []int     `json:"urgency"`
	Connections       []int     `json:"connections"`
	Forecast          []float64 `json:"forecast"`
	Room              []float64 `json:"room"`
	MessagesPerSecond []float64 `json:"messagesPerSecond"`
	P95Millis         []float64 `json:"p95Millis"`
	CPU               []float64 `json:"cpu"`
	Memory            []float64 `json:"memory"`
}

// columns turns points; every column is a list, never null.
func columns(points []Point) Columns {
	return Columns{
		At:                column(points, func(p Point) float64 { return p.At }),
		Serving:           column(points, func(p Point) int { return p.Serving }),
		Starting:          column(points, func(p Point) int { return p.Starting }),
		Away:              column(points, func(p Point) int { return p.Away }),
		Desired:           column(points, func(p Point) int { return p.Desired }),
		Asked:             column(points, func(p Point) int { return p.Asked }),
		Urgency:           column(points, func(p Point) int { return p.Urgency }),
		Connections:       column(points, func(p Point) int { return p.Connections }),
		Forecast:          column(points, func(p Point) float64 { return p.Forecast }),
		Room:              column(points, func(p Point) float64 { return p.Room }),
		MessagesPerSecond: column(points, func(p Point) float64 { return p.MessagesPerSecond }),
		P95Millis:         column(points, func(p Point) float64 { return p.P95Millis }),
		CPU:               column(points, func(p Point) float64 { return p.CPU }),
		Memory:            column(points, func(p Point) float64 { return p.Memory }),
	}
}

func column[T int | float64](points []Point, of func(Point) T) []T {
	values := make([]T, len(points))
	for i, p := range points {
		values[i] = of(p)
	}
	return values
}
