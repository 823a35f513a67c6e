package decide

import (
	"time"

	"github.com/tidegate/tidegate/balancer/capacity"
	"github.com/tidegate/tidegate/balancer/forecast"
	"github.com/tidegate/tidegate/balancer/policy"
)

// Readings are kept in buckets, a fixed number a window, so that memory is bounded however often a leader looks.
const (
	levelBuckets = 20
	quickBuckets = 24
	slowBuckets  = 120
	needBuckets  = 60
	crowdBuckets = 18
	// mostBuckets bounds any window in a memory that is read back.
	mostBuckets = 300
)

// Level sums the readings of one bucket of the level's window. At is in microseconds.
type Level struct {
	At int64 `json:"t"`
	N  int   `json:"n"`
	// Clients are connected and waiting, Connected only those on a node; Messages and Churn are a second, Limit is the mean of
	// what serving nodes take, Hot the CPU of the hottest of them.
	Clients   float64 `json:"c"`
	Connected float64 `json:"k"`
	Messages  float64 `json:"m"`
	Churn     float64 `json:"h,omitempty"`
	Limit     float64 `json:"l,omitempty"`
	Hot       float64 `json:"x,omitempty"`
	Serving   Share   `json:"s"`
	Others    Share   `json:"o"`
}

// Share sums what some nodes do.
type Share struct {
	Nodes      float64 `json:"n,omitempty"`
	Clients    float64 `json:"c,omitempty"`
	Handshakes float64 `json:"h,omitempty"`
	CPU        float64 `json:"u,omitempty"`
	Memory     float64 `json:"r,omitempty"`
}

func (s *Share) add(o capacity.Share) {
	s.Nodes += o.Nodes
	s.Clients += o.Clients
	s.Handshakes += o.Handshakes
	s.CPU += o.CPU
	s.Memory += o.Memory
}

func (s *Share) join(o Share) {
	s.Nodes += o.Nodes
	s.Clients += o.Clients
	s.Handshakes += o.Handshakes
	s.CPU += o.CPU
	s.Memory += o.Memory
}

func (s *Share) mean(n float64) capacity.Share {
	return capacity.Share{Nodes: s.Nodes / n, Clients: s.Clients / n, Handshakes: s.Handshakes / n, CPU: s.CPU / n, Memory: s.Memory / n}
}

func (s *Share) sound() bool { return plausible(s.Nodes, s.Clients, s.Handshakes, s.CPU, s.Memory) }

// Trend sums the connected clients of one bucket and those that wait; Off sums how long after At they were read, in microseconds.
type Trend struct {
	At      int64   `json:"t"`
	Off     int64   `json:"o"`
	N       int     `json:"n"`
	Clients float64 `json:"c"`
	Waiting float64 `json:"w,omitempty"`
}

// Need is the largest value of one bucket: a need in nodes before the margin, or a crowd in clients.
type Need struct {
	At   int64   `json:"t"`
	Most float64 `json:"x"`
}

// bucket is one entry of a window.
type bucket[T any] interface {
	at() int64
	sound() bool
	moved(micros int64) T
}

func (b Level) at() int64 { return b.At }

func (b Level) sound() bool {
	return b.N > 0 && plausible(b.Clients, b.Connected, b.Messages, b.Churn, b.Limit, b.Hot) && b.Serving.sound() && b.Others.sound()
}

func (b Level) moved(by int64) Level {
	b.At += by
	return b
}

func (b Trend) at() int64 { return b.At }

func (b Trend) sound() bool { return b.N > 0 && plausible(b.Clients, b.Waiting, float64(b.Off)) }

func (b Trend) moved(by int64) Trend {
	b.At += by
	return b
}

func (b Need) at() int64 { return b.At }

func (b Need) sound() bool { return plausible(b.Most) }

func (b Need) moved(by int64) Need {
	b.At += by
	return b
}

// mostSum is above every sum of readings that a window can hold.
const mostSum = 1e24

func plausible(sums ...float64) bool {
	for _, x := range sums {
		if !(x >= 0 && x <= mostSum) {
			return false
		}
	}
	return true
}

// turn puts the open bucket to the closed ones when it is full, and opens a fresh one; closed buckets that have left the window go.
// The closed ones are never changed in place: a memory that was handed out shares them.
func turn[T bucket[T]](closed []T, open, fresh T, window, width time.Duration) (all []T, filling T, turned bool) {
	switch {
	case open.at() == 0:
		return closed, fresh, true
	case fresh.at()-open.at() < width.Microseconds():
		return closed, open, false
	}
	oldest := fresh.at() - window.Microseconds()
	first := 0
	for first < len(closed) && closed[first].at() <= oldest {
		first++
	}
	closed = append(make([]T, 0, len(closed)-first+1), closed[first:]...)
	if open.at() > oldest {
		closed = append(closed, open)
	}
	return closed, fresh, true
}

func (s *State) addLevel(p *policy.Policy, now time.Time, l *capacity.Load) {
	s.Levels, s.Level, _ = turn(s.Levels, s.Level, Level{At: now.UnixMicro()}, p.LevelWindow, p.LevelWindow/levelBuckets)
	b := &s.Level
	b.N++
	b.Clients += l.Clients
	b.Connected += l.Connected
	b.Messages += l.Messages
	b.Churn += l.Churn
	b.Limit += l.Limit
	b.Hot += l.Hot
	b.Serving.add(l.Serving)
	b.Others.add(l.Others)
}

// addTrend draws the lines anew when a bucket turns, between they say the same; it reports whether one did.
func (s *State) addTrend(p *policy.Policy, now time.Time, l *capacity.Load) bool {
	width := max(p.SlopeShort/quickBuckets, p.SlopeLong/slowBuckets)
	var turned bool
	s.Trends, s.Trend, turned = turn(s.Trends, s.Trend, Trend{At: now.UnixMicro()}, p.SlopeLong, width)
	s.Trend.N++
	s.Trend.Off += now.UnixMicro() - s.Trend.At
	s.Trend.Clients += l.Connected
	s.Trend.Waiting += max(0, l.Clients-l.Connected)
	if turned {
		var points [mostBuckets]forecast.Point
		s.Quick = forecast.Through(s.points(points[:0], p.SlopeShort, connected))
		s.Slow = forecast.Through(s.points(points[:0], p.SlopeLong, connected))
		s.Crush = s.crush(p, points[:0])
	}
	return turned
}

func connected(b *Trend) float64 { return b.Clients }

func demanded(b *Trend) float64 { return b.Clients + b.Waiting }

const (
	// crushPart is the part of the quick window in which new demand is looked for while clients wait.
	crushPart = 3
	// queue is the part of the clients that must have waited for the rise to be theirs.
	queue = 0.02
)

// crush is how fast demand grows while there are clients that wait, or were a moment ago: what comes on to nodes then is those
// who waited, and they are in the level already. Without such it is nothing that limits a trend.
func (s *State) crush(p *policy.Policy, points []forecast.Point) forecast.Line {
	var in, out float64
	oldest := s.Now.Add(-p.SlopeShort).UnixMicro()
	for i := len(s.Trends) - 1; i >= 0 && s.Trends[i].At > oldest; i-- {
		in += s.Trends[i].Clients
		out += s.Trends[i].Waiting
	}
	if out <= queue*in {
		return forecast.Line{}
	}
	return forecast.Through(s.points(points, p.SlopeShort/crushPart, demanded))
}

// points are the readings of the last window.
func (s *State) points(points []forecast.Point, window time.Duration, of func(*Trend) float64) []forecast.Point {
	oldest := s.Now.Add(-window).UnixMicro()
	point := func(b *Trend) {
		if b.At <= oldest {
			return
		}
		n := float64(b.N)
		points = append(points, forecast.Point{
			// Times are taken from the window's start: a float64 of absolute microseconds would be coarse.
			At:    (float64(b.At-oldest) + float64(b.Off)/n) / microsecond,
			Value: of(b) / n,
		})
	}
	for i := range s.Trends {
		point(&s.Trends[i])
	}
	point(&s.Trend)
	return points
}

// addNeed keeps one bucket more than the delay: a bucket counts until its last reading is too old.
func (s *State) addNeed(p *policy.Policy, now time.Time, need float64) {
	width := p.ScaleInDelay / needBuckets
	s.Needs, s.Need, _ = turn(s.Needs, s.Need, Need{At: now.UnixMicro()}, p.ScaleInDelay+width, width)
	s.Need.Most = max(s.Need.Most, need)
}

// largest is the largest need of the delay, or now's if that is larger; before the margin.
func (s *State) largest(p *policy.Policy, need float64) float64 {
	return most(s.Needs, s.Need, s.Now.Add(-p.ScaleInDelay-p.ScaleInDelay/needBuckets), need)
}

// addCrowd remembers how many clients there were lately, and returns the most of them within the storm's window and in the one
// before that.
func (s *State) addCrowd(p *policy.Policy, now time.Time, clients float64) (earlier, highest float64) {
	width := p.Storm.Window / crowdBuckets
	s.Crowds, s.Crowd, _ = turn(s.Crowds, s.Crowd, Need{At: now.UnixMicro()}, 2*p.Storm.Window, width)
	s.Crowd.Most = max(s.Crowd.Most, clients)
	begin := now.Add(-p.Storm.Window)
	for _, b := range s.Crowds {
		if b.At <= begin.UnixMicro() {
			earlier = max(earlier, b.Most)
		}
	}
	return earlier, most(s.Crowds, s.Crowd, begin, clients)
}

// most is the largest of the buckets after a time, and of a value.
func most(closed []Need, open Need, after time.Time, value float64) float64 {
	oldest := after.UnixMicro()
	for i := len(closed) - 1; i >= 0 && closed[i].At > oldest; i-- {
		value = max(value, closed[i].Most)
	}
	if open.At > oldest {
		value = max(value, open.Most)
	}
	return value
}

// shift moves the buckets, but for one that is not open.
func shift[T bucket[T]](in []T, open T, micros int64) ([]T, T) {
	out := make([]T, 0, len(in))
	for _, b := range in {
		out = append(out, b.moved(micros))
	}
	if open.at() != 0 {
		open = open.moved(micros)
	}
	return out, open
}
