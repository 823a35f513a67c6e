package backtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest"
	"github.com/tidegate/tidegate/internal/backtest/trace"
)

// little is a trace of a quarter of an hour, up and down.
func little() trace.Trace {
	t := trace.Trace{Name: "little", Kind: trace.Regular, Step: 10 * time.Second, Jitter: 0.03}
	for i := range 91 {
		t.Clients = append(t.Clients, 20_000+15_000*math.Sin(float64(i)*2*math.Pi/90))
	}
	return t
}

func results(t *testing.T, o backtest.Options) []backtest.Result {
	t.Helper()
	got, err := backtest.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEveryRowRunsOnEveryTraceWithEverySeed(t *testing.T) {
	t.Parallel()
	calls, last := 0, 0
	got := results(t, backtest.Options{
		Recorded: []trace.Trace{little()}, Seeds: []uint64{4, 5}, Points: 10,
		Progress: func(_, total int) { calls, last = calls+1, total },
	})
	rows := backtest.RowNames()
	if len(got) != 2*len(rows) || calls != len(got) || last != len(got) {
		t.Fatalf("%d results, %d calls of progress, the last of %d", len(got), calls, last)
	}
	for i, r := range got {
		if r.Row != rows[i/2] || r.Seed != uint64(4+i%2) || r.Trace != "little" || r.Kind != trace.Regular {
			t.Errorf("result %d is %s, seed %d, of %s", i, r.Row, r.Seed, r.Trace)
		}
		s := r.Score
		if s.Seconds != 901 || s.ClientSeconds < 1e7 || s.PodSeconds <= 0 || s.Pods < 0.2 || s.Pods > 4 || s.Bad < 0 || s.Bad > 1 || s.PeakNeed < 5 {
			t.Errorf("%s: %+v", r.Row, s)
		}
		if sum := s.Waiting + s.Hot + s.Slow + s.Full; math.Abs(sum-s.Bad) > 1e-12 || s.Cut > s.Moved {
			t.Errorf("%s: %+v does not add up", r.Row, s)
		}
		if r.Row == backtest.RowOracle && (s.Bad != 0 || s.Pods != 1 || s.Moved != 0) {
			t.Errorf("the oracle is not perfect: %+v", s)
		}
		seriesHolds(t, r)
	}
}

// seriesHolds checks that a series says what the score says.
func seriesHolds(t *testing.T, r backtest.Result) {
	t.Helper()
	s := r.Series
	for name, values := range map[string][]float64{
		"need": s.Need, "serving": s.Serving, "asked": s.Asked, "clients": s.Clients, "bad": s.Bad, "moved": s.Moved, "cut": s.Cut,
	} {
		if len(values) != len(s.At) || len(values) < 8 || len(values) > 10 {
			t.Errorf("%s: %s has %d points, at has %d", r.Row, name, len(values), len(s.At))
		}
	}
	if !slices.IsSorted(s.At) {
		t.Errorf("%s: the points are at %v", r.Row, s.At)
	}
	if most := slices.Max(s.Asked); int(most) > r.Score.PeakTarget {
		t.Errorf("%s: the series asks for %v pods, the score for %d at most", r.Row, most, r.Score.PeakTarget)
	}
}

func TestTheSameSeedGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	run := func(workers int, seed uint64) string {
		body, err := json.Marshal(results(t, backtest.Options{
			Recorded: []trace.Trace{little()}, Seeds: []uint64{seed}, Workers: workers,
		}))
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	first := run(1, 9)
	if run(3, 9) != first {
		t.Error("two runs of one seed differ: no result could be checked by anybody else")
	}
	if run(1, 10) == first {
		t.Error("another seed changes nothing")
	}
}

func TestWhatCannotBeRunIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    backtest.Options
		want []string
	}{
		"a trace":     {backtest.Options{Synthetic: []string{"weak"}}, []string{`"weak"`, "week"}},
		"a row":       {backtest.Options{Rows: []string{"keda"}}, []string{`"keda"`, "keda-both"}},
		"an ablation": {backtest.Options{Ablate: []string{"luck"}}, []string{`"luck"`, "margin"}},
		"a peak":      {backtest.Options{PeakClients: -5}, []string{"-5"}},
		"a capacity":  {backtest.Options{DeclaredCapacity: 100}, []string{"100"}},
		"no number":   {backtest.Options{PeakClients: math.NaN()}, []string{"NaN"}},
		"a policy": {backtest.Options{Change: func(p policy.Policy) (policy.Policy, error) {
			p.CPUCeiling = 7
			return p, nil
		}}, []string{"cpuCeiling"}},
		"a recorded trace": {backtest.Options{Recorded: []trace.Trace{{Name: "empty", Step: time.Second}}}, []string{"empty", "two or more"}},
	} {
		_, err := backtest.Run(t.Context(), c.o)
		if err == nil {
			t.Errorf("%s: was run", name)
			continue
		}
		for _, word := range c.want {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: the error does not say %q: %v", name, word, err)
			}
		}
	}
}

func TestARunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := backtest.Run(ctx, backtest.Options{Recorded: []trace.Trace{little()}}); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

// BenchmarkWeekOfFiftyNodes is the goal of speed: a week of a fleet that peaks at fifty nodes, decided on every second, in
// under ten seconds on one core. Garbage is collected as seldom as the subcommand does.
func BenchmarkWeekOfFiftyNodes(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	for b.Loop() {
		got, err := backtest.Run(b.Context(), backtest.Options{
			Synthetic: []string{"week"}, Seeds: []uint64{1}, Rows: []string{backtest.RowCount}, Workers: 1, PeakClients: 175_000,
		})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(got[0].Score.PeakTarget), "nodes")
	}
}
