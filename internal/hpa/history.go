package hpa

import (
	"slices"
	"time"
)

// History is what the HPA remembers between two looks. The zero value knows nothing.
// A history is a value: no function changes the one it was given.
type History struct {
	// Recommendations are the counts the metrics asked for, before any limit.
	Recommendations []Recommendation
	// Changes are the changes of spec.replicas that the HPA made.
	Changes []Change
}

// Recommendation is a count the metrics asked for at one time.
type Recommendation struct {
	At       time.Time
	Replicas int
}

// Change is a step of spec.replicas, positive when it scaled out.
type Change struct {
	At   time.Time
	Step int
}

// started remembers the replicas that the HPA met at its first look, as if they had been recommended.
func (h History) started(now time.Time, replicas int) History {
	if len(h.Recommendations) == 0 {
		h.Recommendations = []Recommendation{{At: now, Replicas: replicas}}
	}
	return h
}

// recommended adds a recommendation and forgets those that no window can see any more.
func (h History) recommended(now time.Time, spec Spec, replicas int) History {
	horizon := now.Add(-max(spec.Up.Stabilization, spec.Down.Stabilization))
	kept := make([]Recommendation, 0, len(h.Recommendations)+1)
	for _, r := range h.Recommendations {
		if r.At.After(horizon) {
			kept = append(kept, r)
		}
	}
	h.Recommendations = append(kept, Recommendation{At: now, Replicas: replicas})
	return h
}

// scaled adds the change from one count to another and forgets those that no policy can see any more.
func (h History) scaled(now time.Time, spec Spec, from, to int) History {
	if from == to {
		return h
	}
	horizon := now.Add(-longestPeriod(spec))
	kept := make([]Change, 0, len(h.Changes)+1)
	for _, c := range h.Changes {
		if c.At.After(horizon) {
			kept = append(kept, c)
		}
	}
	h.Changes = append(kept, Change{At: now, Step: to - from})
	return h
}

// at is the replica count after the given time, before the HPA's own later changes.
func (h History) at(start time.Time, current int) int {
	for _, c := range h.Changes {
		if c.At.After(start) {
			current -= c.Step
		}
	}
	return current
}

func longestPeriod(spec Spec) time.Duration {
	var longest time.Duration
	for _, p := range slices.Concat(spec.Up.Policies, spec.Down.Policies) {
		longest = max(longest, p.Period)
	}
	return longest
}
