package actuator

import (
	"slices"
	"sync"
	"time"
)

// Point is the fleet from one time on, until the next point.
type Point struct {
	At time.Time
	// Desired is spec.replicas; Replicas the nodes that count, Ready those of them that are ready.
	Desired, Replicas, Ready int
	// Leaving are the nodes under removal, which do not count.
	Leaving int
}

// Summary is what became of a fleet.
type Summary struct {
	// Timeline has a point for each change, oldest first.
	Timeline []Point
	// Peak is the largest number of ready nodes.
	Peak int
	// Removed nodes left as asked; Crashed ones died by themselves.
	Removed, Crashed int
	// LongestDrain is the longest time from the order to remove a node until it was gone.
	LongestDrain time.Duration
}

// maxPoints bounds a timeline that is kept for days; the oldest half goes.
const maxPoints = 16384

// trail collects a summary. It is safe for concurrent use.
type trail struct {
	mu  sync.Mutex
	sum Summary
}

func (t *trail) add(p Point) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.sum.Timeline); n > 0 {
		last := t.sum.Timeline[n-1]
		last.At = p.At
		if last == p {
			return
		}
		if n == maxPoints {
			t.sum.Timeline = slices.Clone(t.sum.Timeline[n/2:])
		}
	}
	t.sum.Timeline = append(t.sum.Timeline, p)
	t.sum.Peak = max(t.sum.Peak, p.Ready)
}

func (t *trail) crashed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum.Crashed++
}

func (t *trail) drained(took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum.Removed++
	t.sum.LongestDrain = max(t.sum.LongestDrain, took)
}

// Summary is what became of the fleet so far; it may be called at any time, also while Run runs.
func (a *Actuator) Summary() Summary {
	a.trail.mu.Lock()
	defer a.trail.mu.Unlock()
	sum := a.trail.sum
	sum.Timeline = slices.Clone(sum.Timeline)
	return sum
}
