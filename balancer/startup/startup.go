// Package startup measures how long pods take from the moment that they are asked for until they serve. It needs no names: what
// is known of a fleet and what of it serves are enough, because pods of one fleet start alike.
package startup

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
)

const (
	// enough starts must have been seen before they are believed.
	enough = 5
	// kept is how many of the newest starts speak.
	kept = 32
	// mostWaiting bounds the groups of pods that are on their way.
	mostWaiting = 32
	// slow is the part of all starts that a lead time must cover.
	slow = 0.9
	// mostPods and mostSeconds bound what can be remembered.
	mostPods    = 1 << 22
	mostSeconds = 1e7
)

// Group are pods that became known at one moment and do not serve yet.
type Group struct {
	// At is in microseconds.
	At   int64 `json:"t"`
	Pods int   `json:"n"`
}

// Starts is what is known of the starts of a fleet's pods. Its zero value has seen nothing.
type Starts struct {
	// Known are the pods there were, on their way or serving, Served those of them that served; Seen says that both were counted.
	Known  int  `json:"known,omitempty"`
	Served int  `json:"served,omitempty"`
	Seen   bool `json:"seen,omitempty"`
	// Waiting are the pods on their way, the oldest first.
	Waiting []Group `json:"waiting,omitempty"`
	// Took are the newest starts in seconds, the oldest first; Slow is the time that nine of ten keep.
	Took []float64 `json:"took,omitempty"`
	Slow float64   `json:"slow,omitempty"`
}

// See is the record after one more look: so many pods are known that are not leaving, and so many of them serve. A pod that takes
// longer than the policy waits for any is no start any more.
func (s Starts) See(p policy.Policy, now time.Time, known, served int) Starts {
	if !s.Seen {
		s.Known, s.Served, s.Seen = known, served, true
		return s
	}
	if known == s.Known && served == s.Served {
		return s
	}
	micros := now.UnixMicro()
	waiting := append(make([]Group, 0, len(s.Waiting)+1), s.Waiting...)
	for len(waiting) > 0 && micros-waiting[0].At > p.StartTimeout.Microseconds() {
		waiting = waiting[1:]
	}
	if came := min(known-s.Known, mostPods); came > 0 {
		if len(waiting) == mostWaiting {
			waiting = waiting[1:]
		}
		waiting = append(waiting, Group{At: micros, Pods: came})
	}
	for began := served - s.Served; began > 0 && len(waiting) > 0; began-- {
		s = s.took(float64(micros-waiting[0].At) / float64(time.Second/time.Microsecond))
		if waiting[0].Pods--; waiting[0].Pods == 0 {
			waiting = waiting[1:]
		}
	}
	s.Known, s.Served, s.Waiting = known, served, withdrawn(waiting, known-served)
	return s
}

// withdrawn drops the newest of those that wait until no more wait than can: the others were taken back before they came.
func withdrawn(waiting []Group, most int) []Group {
	sum := 0
	for i := range waiting {
		if sum+waiting[i].Pods > most {
			if waiting[i].Pods = most - sum; waiting[i].Pods > 0 {
				i++
			}
			return waiting[:i]
		}
		sum += waiting[i].Pods
	}
	return waiting
}

func (s Starts) took(seconds float64) Starts {
	first := max(0, len(s.Took)-kept+1)
	s.Took = append(append(make([]float64, 0, kept), s.Took[first:]...), min(seconds, mostSeconds))
	s.Slow = quantile(s.Took)
	return s
}

func quantile(took []float64) float64 {
	sorted := slices.Sorted(slices.Values(took))
	return sorted[int(math.Ceil(slow*float64(len(sorted))))-1]
}

// Time is how long a pod takes to serve, and whether that was measured.
func (s Starts) Time(p policy.Policy) (time.Duration, bool) {
	if !p.Learn.StartTimes || len(s.Took) < enough {
		return p.StartTime, false
	}
	return min(time.Duration(s.Slow*float64(time.Second)), p.Learn.StartTimeMost), true
}

// Shifted is the record on a clock that was set by so many microseconds.
func (s Starts) Shifted(micros int64) Starts {
	waiting := make([]Group, len(s.Waiting))
	for i, g := range s.Waiting {
		waiting[i] = Group{At: g.At + micros, Pods: g.Pods}
	}
	s.Waiting = waiting
	return s
}

// Validate refuses a record that nothing can have written by now.
func (s Starts) Validate(now time.Time) error {
	if len(s.Waiting) > mostWaiting || len(s.Took) > kept {
		return errors.New("starts remember more pods than they keep")
	}
	for i, g := range s.Waiting {
		if g.Pods <= 0 || g.Pods > mostPods || g.At > now.UnixMicro() || i > 0 && g.At < s.Waiting[i-1].At {
			return errors.New("starts wait for no pods, out of order or after now")
		}
	}
	for _, took := range append([]float64{s.Slow}, s.Took...) {
		if !(took >= 0 && took <= mostSeconds) {
			return errors.New("starts took no time that a pod takes")
		}
	}
	return nil
}
