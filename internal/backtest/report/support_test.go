package report_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/internal/backtest"
	"github.com/tidegate/tidegate/internal/backtest/score"
	"github.com/tidegate/tidegate/internal/backtest/trace"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", name, diff)
	}
}

// result is one run with a short series.
func result(row, name string, kind trace.Kind, seed uint64, bad, pods, cut, moved, reversals float64) backtest.Result {
	return backtest.Result{
		Trace: name, Kind: kind, Row: row, Seed: seed,
		Score: score.Score{
			ClientSeconds: 1e6, Bad: bad, Hot: bad, PodSeconds: 36_000 * pods, OraclePodSeconds: 36_000, Pods: pods, Cut: cut, Moved: moved,
			Reversals: int(reversals), ReversalsPerDay: reversals, PeakTarget: 12, PeakNeed: 10, Seconds: 3600,
		},
		Series: backtest.Series{
			At: []float64{1200, 2400, 3600}, Need: []float64{4, 9, 10}, Serving: []float64{4, 8, 10}, Asked: []float64{5, 10, 12},
			Clients: []float64{4000, 9000.4, 10_000}, Bad: []float64{0, bad, 0}, Moved: []float64{0, moved, 0}, Cut: []float64{0, cut, 0},
		},
	}
}

// season is three rows on three traces with two seeds.
func season() []backtest.Result {
	var out []backtest.Result
	for _, t := range []struct {
		name string
		kind trace.Kind
		hard float64
	}{{"week", trace.Regular, 1}, {"storm", trace.Regular, 3}, {"flash", trace.Shock, 20}} {
		for seed := range uint64(2) {
			by := t.hard * float64(1+seed)
			out = append(
				out,
				result("keda-both", t.name, t.kind, seed, 0.002*by, 1.14, 1000*by, 2000*by, 17),
				result("count", t.name, t.kind, seed, 0.0001*by, 1.08, 90*by, 3000*by, 17),
				result("hpa-cpu", t.name, t.kind, seed, 0.02*by, 1.02, 9000, 9000, 31.4),
			)
		}
	}
	return out
}

func text(t *testing.T, write func(*bytes.Buffer) error) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
