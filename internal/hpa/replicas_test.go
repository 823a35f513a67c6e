package hpa_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/hpa"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// count is the metric Tidegate serves: an absolute count against a target of 1.
func count(n int) []hpa.Metric {
	return []hpa.Metric{{Value: hpa.Milli(n * 1000), Target: 1000}}
}

func settled(n int) hpa.Scale { return hpa.Scale{Spec: n, Status: n} }

// defaults is an HPA whose behaviour nobody gave.
func defaults() hpa.Spec {
	return hpa.Spec{Min: 1, Max: 100, Up: hpa.DefaultUp(), Down: hpa.DefaultDown()}
}

// atOnce is an HPA without any limit but the tolerance.
func atOnce(tolerance float64) hpa.Spec {
	return hpa.Spec{Min: 1, Max: 100, Up: hpa.Rules{Tolerance: tolerance}, Down: hpa.Rules{Tolerance: tolerance}}
}

func TestReplicas(t *testing.T) {
	down := errors.New("the metric cannot be read")
	tests := []struct {
		name    string
		spec    hpa.Spec
		current hpa.Scale
		metrics []hpa.Metric
		want    int
		limit   string
	}{
		{"at 10 % tolerance 10 to 11 is dead", atOnce(0.1), settled(10), count(11), 10, hpa.LimitTolerance},
		{"at 10 % tolerance 10 to 9 is dead", atOnce(0.1), settled(10), count(9), 10, hpa.LimitTolerance},
		{"at 10 % tolerance 10 to 12 lands", atOnce(0.1), settled(10), count(12), 12, ""},
		{"at 10 % tolerance 10 to 8 lands", atOnce(0.1), settled(10), count(8), 8, ""},
		{"at 10 % tolerance 20 to 22 is dead", atOnce(0.1), settled(20), count(22), 20, hpa.LimitTolerance},
		{"at 10 % tolerance 20 to 23 lands", atOnce(0.1), settled(20), count(23), 23, ""},
		{"at 10 % tolerance 20 to 18 is dead", atOnce(0.1), settled(20), count(18), 20, hpa.LimitTolerance},
		{"at 10 % tolerance 20 to 17 lands", atOnce(0.1), settled(20), count(17), 17, ""},
		{"at 10 % tolerance 9 to 10 lands, a small fleet is not held", atOnce(0.1), settled(9), count(10), 10, ""},
		{"with tolerance 0 20 to 21 lands", atOnce(0), settled(20), count(21), 21, ""},
		{"with tolerance 0 20 to 19 lands", atOnce(0), settled(20), count(19), 19, ""},
		{"tolerance is measured against the pods that exist, so a surge is written into spec", atOnce(0.1), hpa.Scale{Spec: 20, Status: 21}, count(20), 21, hpa.LimitTolerance},
		{"the default behaviour cuts +5 to +4", defaults(), settled(2), count(7), 6, hpa.LimitUp},
		{"the default behaviour doubles a larger fleet", defaults(), settled(10), count(35), 20, hpa.LimitUp},
		{"the shipped behaviour lets +5 pass", hpa.Shipped(2, 50), settled(2), count(7), 7, ""},
		{"the shipped behaviour lets +10 pass and no more", hpa.Shipped(2, 50), settled(2), count(14), 12, hpa.LimitUp},
		{"the shipped behaviour removes 4 a period", hpa.Shipped(2, 50), settled(12), count(3), 8, hpa.LimitDown},
		{"max bounds the count", hpa.Shipped(2, 8), settled(4), count(12), 8, hpa.LimitMax},
		{"min bounds the count", hpa.Shipped(2, 8), settled(4), count(1), 2, hpa.LimitMin},
		{"a lowered max bypasses every policy", hpa.Shipped(2, 3), settled(12), count(12), 3, hpa.LimitMax},
		{"a raised min bypasses every policy", hpa.Shipped(30, 50), settled(2), count(2), 30, hpa.LimitMin},
		{"a fleet scaled to zero by hand stays there", hpa.Shipped(2, 50), settled(0), count(9), 0, hpa.LimitOff},
		{
			"one metric failing stops scale-in", hpa.Shipped(2, 50), settled(6),
			append(count(3), hpa.Metric{Err: down}), 6, hpa.LimitFailed,
		},
		{
			"one metric failing lets scale-out pass", hpa.Shipped(2, 50), settled(6),
			append(count(8), hpa.Metric{Err: down}), 8, "",
		},
		{"all metrics failing change nothing", hpa.Shipped(2, 50), settled(6), []hpa.Metric{{Err: down}, {Err: down}}, 6, hpa.LimitFailed},
		{"no metric at all changes nothing", hpa.Shipped(2, 50), settled(6), nil, 6, hpa.LimitFailed},
		{"a target of zero is a metric that cannot be read", hpa.Shipped(2, 50), settled(6), []hpa.Metric{{Value: 1000}}, 6, hpa.LimitFailed},
		{"several metrics: the largest count wins", hpa.Shipped(2, 50), settled(6), append(count(3), count(9)...), 9, ""},
		{"no pod exists yet: the count is still the metric's", hpa.Shipped(2, 50), hpa.Scale{Spec: 2, Status: 0}, count(3), 3, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, limit, _ := hpa.Replicas(start, tc.spec, tc.current, tc.metrics, hpa.History{})
			if got != tc.want || limit != tc.limit {
				t.Errorf("from %+v with %+v: got %d limited by %q, want %d limited by %q", tc.current, tc.metrics, got, limit, tc.want, tc.limit)
			}
		})
	}
}

// look is one look of a story: what was asked for, when, and what must come of it.
type look struct {
	after time.Duration
	asked int
	want  int
}

func TestReplicasOverTime(t *testing.T) {
	s := time.Second
	slowIn := hpa.Shipped(2, 50)
	slowIn.Down.Stabilization = 60 * s
	slowOut := hpa.Shipped(2, 50)
	slowOut.Up.Stabilization = 30 * s
	minimal := hpa.Shipped(2, 50)
	minimal.Up.Select = hpa.SelectMin
	minimal.Down = hpa.Rules{Select: hpa.SelectMin, Policies: []hpa.Policy{
		{Unit: hpa.Pods, Value: 1, Period: 15 * s}, {Unit: hpa.Percent, Value: 50, Period: 15 * s},
	}}
	frozen := hpa.Shipped(2, 50)
	frozen.Up.Select, frozen.Down.Select = hpa.Disabled, hpa.Disabled
	tests := []struct {
		name  string
		spec  hpa.Spec
		from  int
		looks []look
	}{
		{"the scale-out limit counts what the period already added", hpa.Shipped(2, 50), 4, []look{
			{0, 14, 14}, {5 * s, 20, 14}, {16 * s, 20, 20},
		}},
		{"the scale-in limit is net of pods added in the same period", hpa.Shipped(2, 50), 10, []look{
			{0, 13, 13}, {5 * s, 2, 6}, {6 * s, 2, 6}, {30 * s, 2, 2},
		}},
		{"scale-in goes 4 a period", hpa.Shipped(2, 50), 15, []look{
			{0, 2, 11}, {15 * s, 2, 7}, {20 * s, 2, 7}, {30 * s, 2, 3}, {45 * s, 2, 2},
		}},
		{"pods removed in the period may come back at once", hpa.Shipped(2, 50), 10, []look{
			{0, 6, 6}, {5 * s, 25, 20},
		}},
		{"the default behaviour waits five minutes to scale in", defaults(), 10, []look{
			{0, 4, 10}, {290 * s, 4, 10}, {301 * s, 4, 4},
		}},
		{"a scale-in window keeps its highest recommendation", slowIn, 10, []look{
			{0, 8, 10}, {30 * s, 4, 10}, {61 * s, 4, 6}, {70 * s, 9, 9}, {90 * s, 4, 9}, {135 * s, 4, 5},
		}},
		{"a scale-out window waits for a peak to last", slowOut, 4, []look{
			{0, 8, 4}, {15 * s, 4, 4}, {30 * s, 9, 4}, {46 * s, 9, 9},
		}},
		{"select Min takes the narrower policy", minimal, 12, []look{
			{0, 30, 22}, {20 * s, 2, 21}, {40 * s, 2, 20},
		}},
		{"a disabled direction never moves", frozen, 6, []look{{0, 2, 6}, {15 * s, 30, 6}}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			replicas, history := tc.from, hpa.History{}
			for _, l := range tc.looks {
				var limit string
				replicas, limit, history = hpa.Replicas(start.Add(l.after), tc.spec, settled(replicas), count(l.asked), history)
				if replicas != l.want {
					t.Fatalf("at %v asked for %d: got %d (limited by %q), want %d", l.after, l.asked, replicas, limit, l.want)
				}
			}
		})
	}
}

func TestExactWithoutTolerance(t *testing.T) {
	spec := hpa.Spec{Min: 1, Max: 4000}
	for from := 1; from <= 3000; from++ {
		for _, to := range []int{from - 1, from, from + 1} {
			got, limit, _ := hpa.Replicas(start, spec, settled(from), count(to), hpa.History{})
			if got != max(to, 1) {
				t.Fatalf("from %d to %d: got %d (limited by %q): a step of one pod never lands", from, to, got, limit)
			}
		}
	}
}

func TestReplicasKeepsItsArguments(t *testing.T) {
	spec := hpa.Shipped(2, 50)
	_, _, past := hpa.Replicas(start, spec, settled(4), count(9), hpa.History{})
	_, _, past = hpa.Replicas(start.Add(time.Second), spec, settled(9), count(5), past)
	before := hpa.History{
		Recommendations: append([]hpa.Recommendation(nil), past.Recommendations...),
		Changes:         append([]hpa.Change(nil), past.Changes...),
	}
	for i := range 5 {
		hpa.Replicas(start.Add(time.Duration(i)*20*time.Second), spec, settled(9), count(3+i), past)
	}
	if diff := cmp.Diff(before, past); diff != "" {
		t.Errorf("a look changed the history it was given, so replaying it gives another count:\n%s", diff)
	}
}

func TestReplicasStayInBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := rapid.IntRange(1, 20).Draw(t, "min")
		spec := hpa.Shipped(low, low+rapid.IntRange(0, 60).Draw(t, "room"))
		spec.Up.Stabilization = time.Duration(rapid.IntRange(0, 60).Draw(t, "up")) * time.Second
		spec.Down.Stabilization = time.Duration(rapid.IntRange(0, 60).Draw(t, "down")) * time.Second
		replicas, history, now := low, hpa.History{}, start
		for range rapid.IntRange(1, 30).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
			asked := rapid.IntRange(0, 200).Draw(t, "asked")
			previous := replicas
			replicas, _, history = hpa.Replicas(now, spec, settled(replicas), count(asked), history)
			if replicas < spec.Min || replicas > spec.Max {
				t.Fatalf("%d replicas are outside %d to %d", replicas, spec.Min, spec.Max)
			}
			if replicas < previous && asked >= previous {
				t.Fatalf("asked for %d with %d running, the HPA scaled in to %d", asked, previous, replicas)
			}
			if len(history.Changes) > 40 || len(history.Recommendations) > 70 {
				t.Fatalf("the history grows without bound: %d changes, %d recommendations", len(history.Changes), len(history.Recommendations))
			}
		}
	})
}

func TestMilliOf(t *testing.T) {
	tests := map[float64]hpa.Milli{0: 0, 1: 1000, 1.001: 1001, 100.001: 100001, -3: 0, 1e300: 1<<63 - 1, 12.3456: 12346}
	for value, want := range tests {
		if got := hpa.MilliOf(value); got != want {
			t.Errorf("MilliOf(%v) = %d, want %d", value, got, want)
		}
	}
}

func BenchmarkReplicas(b *testing.B) {
	spec, history := hpa.Shipped(2, 50), hpa.History{}
	metrics := count(7)
	b.ReportAllocs()
	for b.Loop() {
		hpa.Replicas(start, spec, settled(4), metrics, history)
	}
}
