package decide

import (
	"fmt"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
)

// Readings are kept in buckets, a fixed number a window, so that memory is bounded however often a leader looks.
const (
	levelBuckets = 20
	quickBuckets = 24
	slowBuckets  = 120
	needBuckets  = 60
	// mostBuckets bounds any window in a memory that is read back.
	mostBuckets = 2 * slowBuckets
)

// Level sums the readings of one bucket of the level's window. At is in microseconds.
type Level struct {
	At       int64   `json:"t"`
	N        int     `json:"n"`
	Clients  float64 `json:"c"`
	Messages float64 `json:"m"`
	CPU      float64 `json:"u"`
	Memory   float64 `json:"r"`
}

// Trend sums the connected clients of one bucket; Off sums how long after At they were read, in microseconds.
type Trend struct {
	At      int64   `json:"t"`
	Off     int64   `json:"o"`
	N       int     `json:"n"`
	Clients float64 `json:"c"`
}

// Need is the largest need of one bucket, in nodes.
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
	return b.N > 0 && plausible(b.Clients, b.Messages, b.CPU, b.Memory)
}

func (b Level) moved(by int64) Level {
	b.At += by
	return b
}

func (b Trend) at() int64 { return b.At }

func (b Trend) sound() bool { return b.N > 0 && plausible(b.Clients, float64(b.Off)) }

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

// recent copies the buckets that began after a time, with room for one more.
func recent[T bucket[T]](in []T, after int64) []T {
	first := 0
	for first < len(in) && in[first].at() <= after {
		first++
	}
	return append(make([]T, 0, len(in)-first+1), in[first:]...)
}

// open returns the window ready for a reading at now: the last bucket if it is still filling, else a new one.
func open[T bucket[T]](in []T, now time.Time, window, width time.Duration, fresh T) []T {
	micros := now.UnixMicro()
	out := recent(in, micros-window.Microseconds())
	if n := len(out); n > 0 && micros-out[n-1].at() < width.Microseconds() {
		return out
	}
	return append(out, fresh)
}

func addLevel(in []Level, p policy.Policy, now time.Time, r reading) []Level {
	out := open(in, now, p.LevelWindow, p.LevelWindow/levelBuckets, Level{At: now.UnixMicro()})
	b := &out[len(out)-1]
	b.N++
	b.Clients += r.total.Clients
	b.Messages += r.total.Messages
	b.CPU += r.total.CPU
	b.Memory += r.total.Memory
	return out
}

func addTrend(in []Trend, p policy.Policy, now time.Time, clients float64) []Trend {
	width := max(p.SlopeShort/quickBuckets, p.SlopeLong/slowBuckets)
	out := open(in, now, p.SlopeLong, width, Trend{At: now.UnixMicro()})
	b := &out[len(out)-1]
	b.N++
	b.Off += now.UnixMicro() - b.At
	b.Clients += clients
	return out
}

// addNeed keeps one bucket more than the delay: a bucket counts until its last reading is too old.
func addNeed(in []Need, p policy.Policy, now time.Time, need float64) []Need {
	width := p.ScaleInDelay / needBuckets
	out := open(in, now, p.ScaleInDelay+width, width, Need{At: now.UnixMicro()})
	b := &out[len(out)-1]
	b.Most = max(b.Most, need)
	return out
}

// largest is the largest need that is remembered, or now's if that is larger.
func largest(in []Need, p policy.Policy, now time.Time, need float64) float64 {
	oldest := now.Add(-p.ScaleInDelay - p.ScaleInDelay/needBuckets).UnixMicro()
	for _, b := range in {
		if b.At > oldest {
			need = max(need, b.Most)
		}
	}
	return need
}

func shift[T bucket[T]](in []T, micros int64) []T {
	out := make([]T, 0, len(in))
	for _, b := range in {
		out = append(out, b.moved(micros))
	}
	return out
}

// ordered refuses a window that is too long, out of order, from the future, or divides by nothing.
func ordered[T bucket[T]](name string, in []T, now time.Time) error {
	if len(in) > mostBuckets {
		return fmt.Errorf("%s has %d buckets: at most %d are kept", name, len(in), mostBuckets)
	}
	for i, b := range in {
		switch {
		case !b.sound():
			return fmt.Errorf("%s[%d] holds no readings or numbers that no fleet has", name, i)
		case i > 0 && b.at() <= in[i-1].at():
			return fmt.Errorf("%s[%d] is not after the one before", name, i)
		case b.at() > now.UnixMicro():
			return fmt.Errorf("%s[%d] is after now", name, i)
		}
	}
	return nil
}
