package report

import (
	"github.com/tidegate/tidegate/internal/backtest"
	"github.com/tidegate/tidegate/internal/backtest/score"
	"github.com/tidegate/tidegate/internal/backtest/trace"
)

// summary is one row over all of its runs. A trace counts once, whatever its length and however many seeds it had, so that a
// week does not drown an hour.
type summary struct {
	row            string
	regular, shock family
	// cut and moved are clients over all traces, the mean of the seeds; reversals are those of a mean day.
	cut, moved, reversals float64
	// over is how far a run asked for more than the oracle's peak at most, overAt its trace.
	over   int
	overAt string
}

// family is a row on the traces of one kind.
type family struct {
	traces int
	// bad is the mean of the traces, worst the worst of them and at its name; pods is the mean of the pod-seconds over the
	// oracle's.
	bad, worst float64
	at         string
	pods       float64
}

// bout is one row on one trace, the mean of its seeds.
type bout struct {
	trace string
	kind  trace.Kind
	row   string
	seeds int
	mean  score.Score
	// over is the largest PeakTarget - PeakNeed of a run, whose two figures mean has.
	over int
}

// bouts are the results by trace and row, in the order in which they came.
func bouts(results []backtest.Result) []*bout {
	type key struct{ trace, row string }
	known := map[key]*bout{}
	var out []*bout
	for i := range results {
		r := &results[i]
		b, ok := known[key{r.Trace, r.Row}]
		if !ok {
			b = &bout{trace: r.Trace, kind: r.Kind, row: r.Row}
			known[key{r.Trace, r.Row}] = b
			out = append(out, b)
		}
		b.add(r.Score)
	}
	for _, b := range out {
		b.divide()
	}
	return out
}

func (b *bout) add(s score.Score) {
	b.seeds++
	b.mean.Bad += s.Bad
	b.mean.Pods += s.Pods
	b.mean.Cut += s.Cut
	b.mean.Moved += s.Moved
	b.mean.ReversalsPerDay += s.ReversalsPerDay
	if over := s.PeakTarget - s.PeakNeed; b.seeds == 1 || over > b.over {
		b.over, b.mean.PeakTarget, b.mean.PeakNeed = over, s.PeakTarget, s.PeakNeed
	}
}

func (b *bout) divide() {
	n := float64(b.seeds)
	b.mean.Bad /= n
	b.mean.Pods /= n
	b.mean.Cut /= n
	b.mean.Moved /= n
	b.mean.ReversalsPerDay /= n
}

// summarize adds the bouts up by row, in the order in which the rows came.
func summarize(all []*bout) []*summary {
	known := map[string]*summary{}
	var out []*summary
	traces := map[string]int{}
	for _, b := range all {
		s, ok := known[b.row]
		if !ok {
			s = &summary{row: b.row}
			known[b.row] = s
			out = append(out, s)
		}
		f := &s.regular
		if b.kind == trace.Shock {
			f = &s.shock
		}
		f.add(b)
		traces[b.row]++
		if s.overAt == "" || b.over > s.over {
			s.over, s.overAt = b.over, b.trace
		}
		s.cut += b.mean.Cut
		s.moved += b.mean.Moved
		s.reversals += b.mean.ReversalsPerDay
	}
	for _, s := range out {
		s.regular.divide()
		s.shock.divide()
		s.reversals /= float64(traces[s.row])
	}
	return out
}

func (f *family) add(b *bout) {
	f.traces++
	f.bad += b.mean.Bad
	f.pods += b.mean.Pods
	if b.mean.Bad > f.worst || f.at == "" {
		f.worst, f.at = b.mean.Bad, b.trace
	}
}

func (f *family) divide() {
	if f.traces > 0 {
		f.bad /= float64(f.traces)
		f.pods /= float64(f.traces)
	}
}

// seeds is how many runs the mean of a trace and row has at least and at most.
func seeds(all []*bout) (least, most int) {
	for i, b := range all {
		if i == 0 {
			least = b.seeds
		}
		least, most = min(least, b.seeds), max(most, b.seeds)
	}
	return least, most
}
