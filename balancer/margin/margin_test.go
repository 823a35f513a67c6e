package margin_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/margin"
	"github.com/tidegate/tidegate/balancer/policy"
)

// watch adds the same error for so many seconds.
func watch(e margin.Errors, p policy.Policy, ratio, seconds float64) margin.Errors {
	for ; seconds > 0; seconds -= 3 {
		e = e.Add(p, ratio, 3)
	}
	return e
}

func TestTheMarginBeginsCautiousAndIsLearned(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.Margin, p.Learn.MarginLeast = 1.1, 1.01
	var e margin.Errors
	if got := e.Margin(p); got != 1.1 {
		t.Fatalf("a fleet that has seen nothing is sized with %v, want the beginning margin", got)
	}
	e = watch(e, p, 1.3, 14*60)
	if got := e.Margin(p); got != 1.1 {
		t.Fatalf("after 14 minutes the margin is %v: a first jump is no habit", got)
	}
	e = watch(margin.Errors{}, p, 1.0, 3*3600)
	if got := e.Margin(p); math.Abs(got-1.01) > 1e-3 {
		t.Fatalf("after three hours of forecasts that came true the margin is %v, want 1.01", got)
	}
	e = watch(e, p, 1.12, 120)
	if got := e.Margin(p); got < 1.12 || got > 1.14 {
		t.Fatalf("forecasts 12 %% too low for 1.1 %% of the time give a margin of %v", got)
	}
	e = watch(e, p, 1, 12*3600)
	if got := e.Margin(p); got > 1.02 {
		t.Fatalf("half a day later, when they are under one in a hundred, the margin is still %v", got)
	}
	p.Learn.Margin = false
	if got := e.Margin(p); got != 1.1 {
		t.Fatalf("with learning off the margin is %v", got)
	}
}

func TestTheMarginIsClipped(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	e := watch(margin.Errors{}, p, 1.5, 4*3600)
	if got := e.Margin(p); got != p.Learn.MarginMost {
		t.Fatalf("a fleet of which half as much again came is sized with %v", got)
	}
	e = watch(margin.Errors{}, p, 0, 4*3600)
	if got := e.Margin(p); got != p.Learn.MarginLeast {
		t.Fatalf("a fleet of which nothing came is sized with %v", got)
	}
	if got := e.Rests(); got < 3*time.Hour || got > 4*time.Hour {
		t.Fatalf("four hours of watching are said to be %s", got)
	}
}

// The quantile never promises less than the errors that were seen, but for the part that it may leave out.
func TestTheMarginCoversWhatItWasToldToCover(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.Learn.MarginLeast, p.Learn.MarginMost = 1, 5
	rapid.Check(t, func(t *rapid.T) {
		ratios := rapid.SliceOfN(rapid.Float64Range(0, 1.5), 1, 300).Draw(t, "ratios")
		var e margin.Errors
		for _, r := range ratios {
			e = e.Add(p, r, 100)
		}
		over := 0
		for _, r := range ratios {
			if r > e.Quantile {
				over++
			}
		}
		// What is older counts a little less; of a few hundred that is one more.
		if over > int(0.01*float64(len(ratios)))+1 {
			t.Fatalf("%d of %d are above %v", over, len(ratios), e.Quantile)
		}
		if e.Quantile > 1.02*max(1, slicesMax(ratios)) {
			t.Fatalf("the bound %v is above everything that was seen", e.Quantile)
		}
	})
}

func slicesMax(in []float64) float64 {
	most := 0.0
	for _, x := range in {
		most = max(most, x)
	}
	return most
}

func TestNonsenseTeachesNothingAndTheMemoryStands(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	e := watch(margin.Errors{}, p, 1.05, 60)
	before, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, ratio := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 10} {
		if diff := cmp.Diff(e, e.Add(p, ratio, 3)); diff != "" {
			t.Errorf("%v was learned: the margin would be what nobody measured\n%s", ratio, diff)
		}
	}
	for _, seconds := range []float64{0, -5, math.NaN()} {
		if diff := cmp.Diff(e, e.Add(p, 1.3, seconds)); diff != "" {
			t.Errorf("a forecast of %v seconds was learned\n%s", seconds, diff)
		}
	}
	e.Add(p, 1.2, 3)
	after, err := json.Marshal(e)
	if err != nil || string(before) != string(after) {
		t.Fatal("learning changed the memory it began with: a second decision on it would differ")
	}
	var again margin.Errors
	if err := json.Unmarshal(after, &again); err != nil || again.Validate() != nil || cmp.Diff(e, again) != "" {
		t.Fatalf("the memory is not what was written: %v, %v", err, again.Validate())
	}
}

func TestAFalseMemoryIsRefused(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	for name, spoil := range map[string]func(*margin.Errors){
		"a negative weight":      func(e *margin.Errors) { e.Bins[3] = -1 },
		"a weight of NaN":        func(e *margin.Errors) { e.Bins[3] = math.NaN() },
		"other bins":             func(e *margin.Errors) { e.Bins = e.Bins[:7] },
		"a sum that is none":     func(e *margin.Errors) { e.Watched *= 2 },
		"a quantile of no bin":   func(e *margin.Errors) { e.Quantile = 9 },
		"a quantile of NaN":      func(e *margin.Errors) { e.Quantile = math.NaN() },
		"weights without a sum":  func(e *margin.Errors) { e.Watched = math.NaN() },
		"an endless weight":      func(e *margin.Errors) { e.Bins[0], e.Watched = math.Inf(1), math.Inf(1) },
		"a sum without any bins": func(e *margin.Errors) { e.Bins = nil },
	} {
		e := watch(margin.Errors{}, p, 1.05, 60)
		spoil(&e)
		if e.Validate() == nil {
			t.Errorf("%s is believed", name)
		}
	}
}
