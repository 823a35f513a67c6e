package trace

import "time"

// rateMemory is how long a wandering rate remembers where it was.
const rateMemory = time.Minute

// Walk goes through a trace second by second, with the noise that belongs to a seed: all rows, and the oracle, meet the
// same demand.
type Walk struct {
	trace  *Trace
	second int
	wander wanderer
}

// NewWalk begins before a second: the first Next is that second, which may be negative.
func NewWalk(t *Trace, seed uint64, second int) *Walk {
	return &Walk{trace: t, second: second - 1, wander: wanderer{
		sd: t.Jitter, memory: rateMemory, step: time.Second, r: Rand("rate "+t.Name, seed),
	}}
}

// Next is what clients want in the next second.
func (w *Walk) Next() (clients, rate float64) {
	w.second++
	clients, rate = w.trace.At(w.second)
	return clients, rate * max(0.1, 1+w.wander.next())
}
