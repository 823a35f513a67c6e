// Package drain decides how fast a node sends its clients away. It decides on values: it reads no clock,
// asks nobody and waits for nothing, so no check can ever eat the time that is left.
package drain

import (
	"math"
	"time"
)

// longestStep bounds the time one step may make up for: a process that was stopped for a while must not
// send the clients of all that time away in one go.
const longestStep = time.Second

// Limits are the settings of a drain.
type Limits struct {
	// Rate is how many clients a second one node can take in.
	Rate float64
	// Patience is how long a client that was told to move has before its connection is closed.
	Patience time.Duration
	// Safety is what must be left of the deadline when the last connection closes.
	Safety time.Duration
}

// Situation is what a step is decided from.
type Situation struct {
	// Ready counts sessions not told yet whose shard another node already owns.
	Ready int
	// Waiting counts sessions not told yet whose shard nobody has taken over so far.
	Waiting int
	// Told counts sessions that were told and have not moved; Due of them have had their patience.
	Told int
	Due  int
	// Left is the time to the deadline; Since the time since the last step.
	Left  time.Duration
	Since time.Duration
	// Targets is how many nodes take the clients; Sources how many nodes send clients to them, this one included.
	Targets int
	Sources int
	// Most bounds how many a second are told while there is no deadline (see Leisure.Rate); zero bounds nothing.
	Most float64
}

// Step says what to do now.
type Step struct {
	// Tell is how many sessions to tell, those of Ready first; TellWaiting says that those of Waiting may follow,
	// because holding them back for their new owner would cost the time they need.
	Tell        int
	TellWaiting bool
	// Patience is what the sessions told in this step get.
	Patience time.Duration
	// Close is how many sessions to close, the longest told first.
	Close int
	// All says that the time is up: close every session now, each told where and when to return.
	All bool
	// Pace is clients a second that the others can absorb.
	Pace float64
	// Forced says that the time left demands more than the pace.
	Forced bool
}

// Credit is what earlier steps left unused, in sessions. The zero value starts a drain.
type Credit struct {
	Tell  float64
	Close float64
}

// Pace is how many clients a second a node may send away when sources nodes send to targets. With nobody to
// take them it is the pace of the one node that is to come.
func Pace(rate float64, targets, sources int) float64 {
	if !(rate > 0) || math.IsInf(rate, 1) {
		rate = 1
	}
	return rate * float64(max(1, targets)) / float64(max(1, sources))
}

// Next decides one step of a drain.
func Next(l Limits, c Credit, s Situation) (Step, Credit) {
	available := s.Left - max(0, l.Safety)
	since := min(max(0, s.Since), longestStep)
	step := Step{Pace: Pace(l.Rate, s.Targets, s.Sources), Patience: max(0, min(l.Patience, available/2))}
	untold, all := s.Ready+s.Waiting, s.Ready+s.Waiting+s.Told
	// A step that may not be followed by another one in time is the last.
	if available <= since {
		step.All, step.Forced = true, all > 0
		return step, Credit{}
	}
	telling := max(available-step.Patience, time.Nanosecond)
	demand := float64(untold) / telling.Seconds()
	step.TellWaiting = s.Targets == 0 || demand >= step.Pace
	tellRate, closeRate := max(step.Pace, demand), max(step.Pace, float64(all)/available.Seconds())
	if s.Most > 0 {
		tellRate = min(tellRate, s.Most)
	}
	step.Forced = tellRate > step.Pace || closeRate > step.Pace

	eligible := s.Ready
	if step.TellWaiting {
		eligible = untold
	}
	step.Tell, c.Tell = spend(c.Tell, tellRate, since, eligible)
	step.Close, c.Close = spend(c.Close, closeRate, since, min(s.Due, s.Told))
	return step, c
}

// spend takes whole sessions out of the credit that the rate earned; what nobody needs does not pile up.
func spend(credit, rate float64, since time.Duration, wanted int) (int, float64) {
	credit += rate * since.Seconds()
	n := min(wanted, int(min(credit, math.MaxInt32)))
	credit -= float64(n)
	if n == wanted {
		credit = min(credit, 1)
	}
	return n, credit
}

// Spread is the time over which clients that are all closed at once should come back, so that the others see
// no more of them a second than the pace; at most the given time.
func Spread(sessions int, pace float64, most time.Duration) time.Duration {
	if !(pace > 0) {
		return most
	}
	return time.Duration(min(float64(sessions)/pace*float64(time.Second), float64(most)))
}
