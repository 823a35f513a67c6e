package recording

import (
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
)

// Outcome is what a replay has to say.
//
// The recorded fleet reacts to nothing that was decided in the replay: its nodes are those that ran, whatever the replay would
// have asked for. So a replay tells the count that this policy would have asked for at each reading, how that stands to what was
// asked for and to what the load needed; and of the fleet that ran, how its clients fared. It does not tell how clients would
// have fared, and after the first difference it decides on a fleet of another size than the one that it asks for.
type Outcome struct {
	Header Header
	// Policy is the last one that was tried out, and Changed what any of them has otherwise than the one recorded at that time.
	Policy  policy.Policy
	Changed []string
	// Frames were replayed, From the first Until the last. Gaps are holes in the recording, whose time counts as nothing.
	Frames      int
	From, Until time.Time
	Gaps        int
	// Incomplete says that the file ends early, and Cold that the replay began without the leader's memory; empty otherwise.
	Incomplete, Cold string

	// Asked is what the fleet was asked for, by whoever decided that; Decided what the balancer decided, which is another count
	// in shadow mode; Replayed what the policy that is tried out decides.
	Asked, Decided, Replayed Line
	// Agreed is the part of the readings in which the replay decides what was decided; of those that carry a decision.
	Agreed float64
	// Fleet is how the recorded fleet fared.
	Fleet Health

	Series Series
}

// Line is one count over the whole recording.
type Line struct {
	// PodSeconds is the count over time; Peak and Least are its bounds.
	PodSeconds  float64
	Peak, Least int
	// Changes are changes of the count, and Reversals those of its direction.
	Changes, Reversals int
	// ShortSeconds is for how long the count was below the need.
	ShortSeconds float64

	last, direction int
	begun           bool
}

// Health is how the recorded fleet fared.
type Health struct {
	// Seconds were watched. ClientSeconds are all that clients wanted; BadSeconds those on a node over 0.90 CPU, 500 ms p95 or
	// 0.92 memory, or refused and waiting.
	Seconds, ClientSeconds, BadSeconds float64
	// PodSeconds are those of nodes that serve; NeedSeconds those of a fleet that holds every node at 0.80 CPU and memory.
	PodSeconds, NeedSeconds float64
	PeakNeed                int
}

// Bad is the part of the client-seconds that were bad.
func (h Health) Bad() float64 {
	if h.ClientSeconds == 0 {
		return 0
	}
	return h.BadSeconds / h.ClientSeconds
}

// Series is a replay in a few hundred points, for charts. All slices have the same length; counts are the largest of a span.
type Series struct {
	// At is seconds since the first reading, the end of the span that the point tells about.
	At []float64
	// Need, Serving, Asked, Decided and Replayed are pods.
	Need, Serving, Asked, Decided, Replayed []float64
	// Clients are the mean of the span, Bad the part of its client-seconds that were bad.
	Clients, Bad []float64
}

// step is one reading and what was asked for at it.
type step struct {
	at                       time.Time
	asked, decided, replayed int
	health                   reading
}

// count adds a reading that lasted so many seconds.
func (p *replay) count(s step, seconds float64) {
	h := &p.out.Fleet
	h.Seconds += seconds
	h.ClientSeconds += s.health.clients * seconds
	h.BadSeconds += s.health.bad * seconds
	h.PodSeconds += float64(s.health.serving) * seconds
	h.NeedSeconds += float64(s.health.need) * seconds
	h.PeakNeed = max(h.PeakNeed, s.health.need)
	p.out.Asked.count(s.asked, s.health.need, seconds)
	if s.decided > 0 {
		p.out.Decided.count(s.decided, s.health.need, seconds)
	}
	p.out.Replayed.count(s.replayed, s.health.need, seconds)
	p.curve.add(s, seconds)
}

func (l *Line) count(value, need int, seconds float64) {
	l.PodSeconds += float64(value) * seconds
	if value < need {
		l.ShortSeconds += seconds
	}
	if !l.begun {
		l.begun, l.last, l.Peak, l.Least = true, value, value, value
		return
	}
	l.Peak, l.Least = max(l.Peak, value), min(l.Least, value)
	if value == l.last {
		return
	}
	l.Changes++
	direction := 1
	if value < l.last {
		direction = -1
	}
	if l.direction == -direction {
		l.Reversals++
	}
	l.direction, l.last = direction, value
}
