package forecast_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/forecast"
	"github.com/tidegate/tidegate/balancer/policy"
)

func TestTrendsAreBelievedAsFarAsTheyCameTrue(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	var r forecast.Record
	if r.Belief(p) != 1 {
		t.Fatal("the first trend of a fleet is not believed: it would be met late")
	}
	for range 100 {
		r = r.Add(p, 1000, 100, 1000, 3)
	}
	if got := r.Belief(p); got > 0.1 {
		t.Fatalf("a hundred trends of which nothing came are believed by %v", got)
	}
	for range 400 {
		r = r.Add(p, 1000, 100, 1100, 3)
	}
	if got := r.Belief(p); got < 0.8 {
		t.Fatalf("four hundred trends that came true are believed by %v", got)
	}
	lucky := forecast.Record{}.Add(p, 1000, 100, 1e9, 3)
	if got := lucky.Add(p, 1000, 400, 1000, 3).Belief(p); got > 0.8 {
		t.Fatalf("one windfall pays for what never came: %v", got)
	}
	p.Learn.Trend = false
	if r.Belief(p) != 0 || forecast.Trust(p, 1, 9) != 0 {
		t.Fatal("with trends off one is believed")
	}
}

func TestAnExtremeTrendIsBelievedWhateverCameOfOthers(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.Learn.TrendExtreme = 0.5
	for adds, want := range map[float64]float64{0: 0.2, 0.25: 0.2, 0.375: 0.6, 0.5: 1, 9: 1, math.Inf(1): 1, math.NaN(): 0.2, -3: 0.2} {
		if got := forecast.Trust(p, 0.2, adds); math.Abs(got-want) > 1e-9 {
			t.Errorf("a trend that adds %v of the level is believed by %v, want %v", adds, got, want)
		}
	}
}

func TestNoOutcomeMakesAnAbsurdBelief(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	odd := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.MaxFloat64}))
	rapid.Check(t, func(t *rapid.T) {
		var r forecast.Record
		for range rapid.IntRange(1, 30).Draw(t, "promises") {
			r = r.Add(p, odd.Draw(t, "level"), odd.Draw(t, "promised"), odd.Draw(t, "now"), odd.Draw(t, "seconds"))
			if err := r.Validate(); err != nil {
				t.Fatalf("%+v: %v", r, err)
			}
			if b := r.Belief(p); !(b >= 0 && b <= 1) {
				t.Fatalf("%+v is believed by %v", r, b)
			}
		}
	})
	for name, r := range map[string]forecast.Record{
		"more came than was promised": {Promised: 1, Came: 2}, "a negative promise": {Promised: -1}, "NaN": {Promised: math.NaN()},
	} {
		if r.Validate() == nil {
			t.Errorf("%s: believed", name)
		}
	}
}

func TestALineThatNoPointsGiveIsRefused(t *testing.T) {
	t.Parallel()
	if err := forecast.Through(series(60, 1, ramp(5, 2))).Validate(); err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]forecast.Line{
		"a slope of NaN": {Slope: math.NaN()}, "an endless slope": {Slope: math.Inf(-1)}, "a fit above one": {Fit: 2}, "a negative error": {Error: -1}, "minus three points": {Points: -3},
	} {
		if l.Validate() == nil {
			t.Errorf("%s: believed", name)
		}
	}
}
