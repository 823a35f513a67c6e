package forecast_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/forecast"
	"github.com/tidegate/tidegate/balancer/policy"
)

// series reads a curve once every step seconds over a window.
func series(window, step float64, curve func(at float64) float64) []forecast.Point {
	var out []forecast.Point
	for at := 0.0; at < window; at += step {
		out = append(out, forecast.Point{At: at, Value: curve(at)})
	}
	return out
}

func ramp(from, slope float64) func(float64) float64 {
	return func(at float64) float64 { return from + slope*at }
}

func flat(level float64) func(float64) float64 { return ramp(level, 0) }

func jump(at, from, to float64) func(float64) float64 {
	return func(now float64) float64 {
		if now < at {
			return from
		}
		return to
	}
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*max(1, math.Abs(a), math.Abs(b)) }

func TestALineIsDrawnThroughItsPoints(t *testing.T) {
	t.Parallel()
	l := forecast.Through(series(60, 2.5, ramp(100, 4)))
	if !near(l.Slope, 4) || !near(l.Fit, 1) || l.Error > 1e-6 || l.Points != 24 {
		t.Fatalf("a straight ramp of 4/s gives %+v", l)
	}
	for name, points := range map[string][]forecast.Point{
		"nothing": nil, "two points": series(2, 1, ramp(0, 9)), "a constant": series(60, 1, flat(7)),
		"one time":         {{At: 5, Value: 1}, {At: 5, Value: 2}, {At: 5, Value: 3}},
		"not a number":     {{At: 1, Value: 1}, {At: 2, Value: math.NaN()}, {At: 3, Value: 3}},
		"without an end":   {{At: 1, Value: 1}, {At: 2, Value: math.Inf(1)}, {At: 3, Value: 3}},
		"absurd numbers":   {{At: 1, Value: -math.MaxFloat64}, {At: 2, Value: 0}, {At: 3, Value: math.MaxFloat64}},
		"times at no time": {{At: math.NaN(), Value: 1}, {At: 2, Value: 2}, {At: 3, Value: 3}},
	} {
		if l := forecast.Through(points); l.Slope != 0 || l.Fit != 0 {
			t.Errorf("%s has the slope %v with fit %v: want none", name, l.Slope, l.Fit)
		}
	}
}

// TestAJumpIsNotATrend is why SlopeFit is above 0.75: what has come already would be expected a second time.
func TestAJumpIsNotATrend(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	rapid.Check(t, func(t *rapid.T) {
		step := rapid.Float64Range(0.5, 7).Draw(t, "step")
		at := rapid.Float64Range(0, 60).Draw(t, "at")
		from := rapid.Float64Range(0, 1e5).Draw(t, "from")
		to := from + rapid.Float64Range(0, 1e6).Draw(t, "by")
		quick := forecast.Through(series(60, step, jump(at, from, to)))
		if quick.Points >= 8 && forecast.Trend(p, to, quick, forecast.Line{}) != 0 {
			t.Fatalf("a jump from %v to %v at %v s of 60 is taken for a trend (%+v)", from, to, at, quick)
		}
	})
}

func TestWhichTrendIsBelieved(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	ended := func(at float64) float64 { return 1000 + 10*min(at, 240) }
	noisy := func(at float64) float64 { return 1000 + at + 40*math.Sin(at*1.7) }
	cases := map[string]struct {
		quick, slow []forecast.Point
		want        float64
	}{
		"a ramp":                          {series(60, 2.5, ramp(1000, 10)), series(300, 2.5, ramp(1000, 10)), 10},
		"a ramp that has ended":           {series(60, 2.5, flat(3400)), series(300, 2.5, ended), 0},
		"a slow ramp in noise":            {series(60, 2.5, noisy), series(300, 2.5, noisy), 1},
		"a constant":                      {series(60, 2.5, flat(1000)), series(300, 2.5, flat(1000)), 0},
		"a fall":                          {series(60, 2.5, ramp(1000, -10)), series(300, 2.5, ramp(5000, -10)), 0},
		"dust on a constant":              {series(60, 2.5, ramp(1e6, 1e-6)), series(300, 2.5, ramp(1e6, 1e-6)), 0},
		"too few readings":                {series(5, 1, ramp(0, 100)), series(5, 1, ramp(0, 100)), 0},
		"a flash crowd in a quiet season": {series(60, 2.5, ramp(1000, 100)), series(300, 2.5, flat(1000)), 100},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := forecast.Trend(p, 1000, forecast.Through(c.quick), forecast.Through(c.slow))
			if math.Abs(got-c.want) > 0.15*max(c.want, 1e-9) {
				t.Fatalf("trend %v clients/s, want %v", got, c.want)
			}
		})
	}
}

func TestTheForecastIsBounded(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	cases := map[string]struct{ level, slope, seconds, want float64 }{
		"no trend":          {1000, 0, 45, 1000},
		"a ramp":            {1000, 10, 45, 1450},
		"capped at 2.5x":    {1000, 1e6, 45, 2500},
		"never below level": {1000, -50, 45, 1000},
		"nobody there":      {0, 50, 45, 0},
		"a false level":     {math.NaN(), 50, 45, 0},
		"a negative level":  {-5, 50, 45, 0},
		"a false trend":     {1000, math.NaN(), 45, 1000},
		"an endless trend":  {1000, math.Inf(1), 45, 2500},
	}
	for name, c := range cases {
		if got := forecast.Ahead(p, c.level, c.slope, c.seconds); got != c.want {
			t.Errorf("%s: %v clients expected, want %v", name, got, c.want)
		}
	}
}

func TestAQueueThatIsLetInIsNoTrend(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		slope  float64
		demand forecast.Line
		want   float64
	}{
		"nobody waited":                   {90, forecast.Line{}, 90},
		"the queue empties":               {90, forecast.Line{Slope: 3, Points: 8}, 3},
		"the queue grows":                 {90, forecast.Line{Slope: 300, Points: 8}, 90},
		"those who waited go away":        {90, forecast.Line{Slope: -20, Points: 8}, 0},
		"too few readings to say so":      {90, forecast.Line{Slope: 3, Points: 3}, 90},
		"nobody comes while a queue grew": {0, forecast.Line{Slope: 300, Points: 8}, 0},
	} {
		if got := forecast.Limited(c.slope, c.demand); got != c.want {
			t.Errorf("%s: %v clients/s, want %v", name, got, c.want)
		}
	}
}
