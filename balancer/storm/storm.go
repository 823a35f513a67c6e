// Package storm tells an outage from a quiet night: clients that all fall away at once come back all at once.
package storm

import (
	"errors"
	"math"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
)

// chance is how many standard deviations of a crowd that comes and goes by itself a fall must exceed: ten clients of whom
// three happened to leave are no outage.
const chance = 3

// Fell says that clients have fallen too fast for a quiet hour: highest is the most there were within the window, earlier the most in
// the window before that, now what is left. A fall that only goes on as it went before is the end of a rush, and no outage.
func Fell(p policy.Policy, earlier, highest, now float64) bool {
	fall := highest - now - max(0, earlier-highest)
	return p.Storm.Guard && fall > p.Storm.Fall*highest && fall > chance*math.Sqrt(highest)
}

// Watch is what a leader knows of storms. Its zero value knows of none.
type Watch struct {
	// Until is when the hold ends; zero without one.
	Until time.Time `json:"until,omitzero"`
	// Crowd is how many clients there were before the fall.
	Crowd float64 `json:"crowd,omitempty"`
	// Back says that they are back already.
	Back bool `json:"back,omitempty"`
	// Doubt is how often clients did not come back from falls like these, 0 to 1; the latest counts most.
	Doubt float64 `json:"doubt,omitempty"`
}

const (
	// back is the part of a crowd with which it has come back.
	back = 0.95
	// lesson is how much the latest fall counts against all before.
	lesson = 0.4
	// leastHeld is the part of the hold that is left to a guard that was always wrong.
	leastHeld = 0.2
)

// Holds says that a hold is on.
func (w Watch) Holds() bool { return !w.Until.IsZero() }

// See is what is known after one more look: the most clients there were in the window before the last, and within it, and how many are left. A hold begins anew
// with every look at which they have fallen. When they are back it lasts until no trend remembers how they came.
func (w Watch) See(p policy.Policy, now time.Time, earlier, highest, clients float64) Watch {
	if !p.Storm.Guard {
		return Watch{Doubt: w.Doubt}
	}
	if w.Holds() {
		switch {
		case !now.Before(w.Until) && w.Back:
			w = Watch{Doubt: w.Doubt * (1 - lesson)}
		case !now.Before(w.Until):
			w = Watch{Doubt: w.Doubt + lesson*(1-w.Doubt)}
		case !w.Back && clients >= back*w.Crowd:
			w.Back = true
			if end := now.Add(p.SlopeLong); end.Before(w.Until) {
				w.Until = end
			}
		}
	}
	if Fell(p, earlier, highest, clients) {
		w.Crowd, w.Back = max(w.Crowd, highest), false
		w.Until = now.Add(time.Duration(max(leastHeld, 1-w.Doubt) * float64(p.Storm.Hold)))
	}
	return w
}

// farthest is longer than any policy lets a hold be.
const farthest = 24 * time.Hour

// mostClients is above every crowd.
const mostClients = 1e24

// Validate refuses what nothing can have seen by now.
func (w Watch) Validate(now time.Time) error {
	if !(w.Crowd >= 0 && w.Crowd <= mostClients && w.Doubt >= 0 && w.Doubt <= 1) || w.Until.Sub(now) > farthest {
		return errors.New("storm holds for longer than any, or for clients that no fleet has")
	}
	return nil
}
