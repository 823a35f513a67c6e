package backtest_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/backtest"
	"github.com/tidegate/tidegate/internal/backtest/trace"
)

// The oracle, the world and the trace have one clock: what clients wanted is the same whoever serves them.
func TestEveryRowMeetsTheDemandOfTheOracle(t *testing.T) {
	t.Parallel()
	steep := trace.Trace{Name: "steep", Kind: trace.Regular, Step: time.Second, Jitter: 0.03}
	for i := range 600 {
		steep.Clients = append(steep.Clients, 2000+40*float64(i))
	}
	got := results(t, backtest.Options{
		Recorded: []trace.Trace{steep}, Seeds: []uint64{1}, Rows: []string{backtest.RowCount, backtest.RowConnections, backtest.RowOracle},
	})
	want := got[2].Score.ClientSeconds
	for _, r := range got {
		if diff := math.Abs(r.Score.ClientSeconds - want); diff > 1 {
			t.Errorf("%s: %v client-seconds, the oracle has %v: it lives %v s beside the trace", r.Row, r.Score.ClientSeconds, want, diff/(40*600))
		}
	}
}

func TestTheLastPointOfASeriesIsTheEndOfTheRun(t *testing.T) {
	t.Parallel()
	for _, r := range results(t, backtest.Options{
		Recorded: []trace.Trace{little()}, Seeds: []uint64{4}, Points: 10, Rows: []string{backtest.RowCount, backtest.RowOracle},
	}) {
		if last := r.Series.At[len(r.Series.At)-1]; last != 901 {
			t.Errorf("%s: the series ends at %v s of 901", r.Row, last)
		}
	}
}

func TestWhatIsGivenTwiceIsNoSecondRun(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]backtest.Options{
		"trace ramp is given twice":   {Synthetic: []string{"ramp", "ramp"}},
		"trace little is given twice": {Recorded: []trace.Trace{little(), little()}},
		"row count is given twice":    {Rows: []string{"count", "table", "count"}},
		"seed 7 is given twice":       {Seeds: []uint64{7, 7}},
	} {
		if _, err := backtest.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error that says %q: %v", want, err)
		}
	}
}

func TestARunUnderWayEndsSoon(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	calls := 0
	_, err := backtest.Run(ctx, backtest.Options{
		Synthetic: []string{"week"}, Rows: []string{backtest.RowCount}, Seeds: []uint64{1}, Progress: func(int, int) { calls++ },
	})
	if err == nil || calls != 0 {
		t.Errorf("error %v after %d runs: a week was simulated to its end", err, calls)
	}
}
