package backtest

import (
	"github.com/tidegate/tidegate/internal/backtest/oracle"
	"github.com/tidegate/tidegate/internal/backtest/score"
	"github.com/tidegate/tidegate/internal/backtest/trace"
	"github.com/tidegate/tidegate/internal/backtest/world"
)

// recorder boils a run down to a few hundred points.
type recorder struct {
	out  Series
	span int
	// what the present span has seen.
	seconds                               int
	need, serving, asked, clients         float64
	bad, all, moved, cut                  float64
	lastBad, lastAll, lastMoved, lastCuts float64
}

func newRecorder(seconds, points int) *recorder {
	return &recorder{span: max(1, (seconds+points)/points)}
}

// second takes a second of a world in.
func (r *recorder) second(w *world.World, need float64) {
	r.add(need, float64(w.Serving()), float64(w.Spec()), w.Wanted())
	if r.seconds == r.span {
		r.settle(w)
		r.close(float64(w.Now() + 1))
	}
}

func (r *recorder) add(need, serving, asked, clients float64) {
	r.seconds++
	r.need, r.serving, r.asked = max(r.need, need), max(r.serving, serving), max(r.asked, asked)
	r.clients += clients
}

// settle takes what was judged since the last point.
func (r *recorder) settle(w *world.World) {
	bad, all := w.Tally().BadSeconds()
	moved, cut := w.Tally().Moved()
	r.bad, r.all, r.moved, r.cut = bad-r.lastBad, all-r.lastAll, moved-r.lastMoved, cut-r.lastCuts
	r.lastBad, r.lastAll, r.lastMoved, r.lastCuts = bad, all, moved, cut
}

// close ends a point.
func (r *recorder) close(at float64) {
	s := &r.out
	s.At = append(s.At, at)
	s.Need, s.Serving, s.Asked = append(s.Need, r.need), append(s.Serving, r.serving), append(s.Asked, r.asked)
	s.Clients = append(s.Clients, r.clients/float64(r.seconds))
	part := 0.0
	if r.all > 0 {
		part = r.bad / r.all
	}
	s.Bad, s.Moved, s.Cut = append(s.Bad, part), append(s.Moved, r.moved), append(s.Cut, r.cut)
	r.seconds, r.need, r.serving, r.asked, r.clients = 0, 0, 0, 0, 0
}

// series ends the recording; the last point may tell of a shorter span.
func (r *recorder) series(w *world.World) Series {
	if r.seconds > 0 {
		r.settle(w)
		r.close(float64(w.Now() + 1))
	}
	return r.out
}

// perfect is the oracle's own row.
func perfect(t *trace.Trace, plan oracle.Plan, r *recorder) (score.Score, Series) {
	var tally score.Tally
	for s := range plan.Pods {
		clients, _ := t.At(s)
		tally.Clients(score.Node{Clients: clients})
		tally.Second(0, int(plan.Pods[s]), 0, 0, int(plan.Pods[s]))
		r.add(float64(plan.Pods[s]), float64(plan.Need[s]), float64(plan.Pods[s]), clients)
		if r.seconds == r.span {
			r.close(float64(s + 1))
		}
	}
	if r.seconds > 0 {
		r.close(float64(len(plan.Pods)))
	}
	return tally.Score(plan.PodSeconds, plan.Peak), r.out
}
