package actuator

import "time"

// The pause before nodes that died without ever becoming ready are replaced, as Kubernetes backs off from crash loops.
const (
	firstPause = time.Second
	maxPause   = 30 * time.Second
)

// restarts paces the replacement of nodes that died by themselves. Scale-out never waits for it.
type restarts struct {
	waiting int // deaths that are not replaced yet
	quick   int // deaths in a row before readiness
	until   time.Time
}

// died notes a death. A node that had served is replaced at once.
func (r *restarts) died(now time.Time, everReady bool) {
	r.waiting++
	if everReady {
		return
	}
	pause := min(firstPause<<min(r.quick, 10), maxPause)
	r.quick++
	r.until = now.Add(pause)
}

// healthy ends a crash loop.
func (r *restarts) healthy() { r.quick, r.until = 0, time.Time{} }

// held is how many replacements wait, and for how long.
func (r *restarts) held(now time.Time) (count int, wait time.Duration) {
	if !now.Before(r.until) {
		return 0, 0
	}
	return r.waiting, r.until.Sub(now)
}

// replaced says that nothing waits any more.
func (r *restarts) replaced() { r.waiting = 0 }
