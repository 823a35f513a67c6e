package trace_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/internal/backtest/trace"
)

func synthetic(tb testing.TB, name string, seed uint64) trace.Trace {
	tb.Helper()
	t, err := trace.Synthetic(name, seed)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// at is clients at a minute as a part of the default peak.
func at(t *trace.Trace, minute int) float64 {
	clients, _ := t.At(60 * minute)
	return clients / trace.DefaultPeak
}

func TestTheTracesHaveTheShapesTheirNamesPromise(t *testing.T) {
	t.Parallel()
	near := func(got, want float64) bool { return got > want*0.9 && got < want*1.1 }
	cases := map[string]struct {
		kind  trace.Kind
		hours float64
		shape func(x *trace.Trace) bool
	}{
		"week": {trace.Regular, 168, func(x *trace.Trace) bool {
			night, evening, sunday := at(x, 4*60), at(x, 19*60), at(x, 6*1440+19*60)
			return evening > 3*night && sunday < 0.85*evening && len(x.Rate) == len(x.Clients)
		}},
		"ramp":     {trace.Regular, 4, func(x *trace.Trace) bool { return near(at(x, 10), 0.17) && near(at(x, 75), 1) }},
		"sawtooth": {trace.Regular, 6, func(x *trace.Trace) bool { return at(x, 31) > 2*at(x, 44) && at(x, 76) > 2*at(x, 89) }},
		"storm": {trace.Regular, 5, func(x *trace.Trace) bool {
			o := x.Outages[0]
			before, _ := x.At(o.From - 1)
			during, _ := x.At(o.From)
			after, _ := x.At(o.To + o.Return)
			return len(x.Outages) == 3 && during < 0.7*before && after > 0.9*before && o.Return <= 60
		}},
		"night":   {trace.Regular, 14, func(x *trace.Trace) bool { return near(at(x, 30), 1) && near(at(x, 400), 0.07) }},
		"noisy":   {trace.Regular, 6, func(x *trace.Trace) bool { return x.Jitter > 0.05 && len(x.Neighbours) > 10 }},
		"idle":    {trace.Regular, 6, func(x *trace.Trace) bool { return slices.Max(x.Clients) < 0.01*trace.DefaultPeak }},
		"flash":   {trace.Shock, 2.5, func(x *trace.Trace) bool { return at(x, 29) < 0.11 && at(x, 32) > 0.9 }},
		"bursts":  {trace.Shock, 3, func(x *trace.Trace) bool { return slices.Max(x.Rate) > 1.35 && near(at(x, 3), at(x, 5)) }},
		"hotspot": {trace.Shock, 3, func(x *trace.Trace) bool { return len(x.Hotspots) > 2 && x.Hotspots[0].Rate > 5 }},
	}
	for name, c := range cases {
		for seed := range uint64(3) {
			x := synthetic(t, name, seed)
			if err := x.Validate(); err != nil {
				t.Errorf("%s, seed %d: %v", name, seed, err)
			}
			if x.Kind != c.kind || float64(x.Seconds()) != c.hours*3600 || !c.shape(&x) {
				t.Errorf("%s, seed %d: is %s of %d s, or not of its shape", name, seed, x.Kind, x.Seconds())
			}
			if most := slices.Max(x.Clients); name != "idle" && (most < 0.75*trace.DefaultPeak || most > 1.2*trace.DefaultPeak) {
				t.Errorf("%s, seed %d: the peak is %.0f clients", name, seed, most)
			}
		}
		if !slices.Contains(trace.Names(), name) {
			t.Errorf("%s is not listed", name)
		}
	}
	if len(cases) != len(trace.Names()) {
		t.Errorf("%d traces are listed: this test knows of %d", len(trace.Names()), len(cases))
	}
}

func TestASeedMakesATraceAndAnotherSeedAnotherOne(t *testing.T) {
	t.Parallel()
	for _, name := range trace.Names() {
		if diff := cmp.Diff(synthetic(t, name, 7), synthetic(t, name, 7)); diff != "" {
			t.Errorf("%s differs from itself:\n%s", name, diff)
		}
		if cmp.Equal(synthetic(t, name, 7), synthetic(t, name, 8)) {
			t.Errorf("%s is the same for two seeds", name)
		}
	}
}

func TestAnUnknownTraceIsNamedWithTheKnownOnes(t *testing.T) {
	t.Parallel()
	if _, err := trace.Synthetic("weak", 1); err == nil || !strings.Contains(err.Error(), `"weak"`) || !strings.Contains(err.Error(), "week, ramp") {
		t.Errorf("the error is %v", err)
	}
}

// All rows and the oracle must meet the same demand, or they could not be compared.
func TestTwoWalksOfOneSeedMeetTheSameDemand(t *testing.T) {
	t.Parallel()
	x := synthetic(t, "noisy", 3)
	a, b, other := trace.NewWalk(&x, 3, -100), trace.NewWalk(&x, 3, -100), trace.NewWalk(&x, 4, -100)
	differs := false
	for range 2000 {
		clients, rate := a.Next()
		again, rateAgain := b.Next()
		_, rateOther := other.Next()
		if clients != again || rate != rateAgain {
			t.Fatal("the same seed asks for something else")
		}
		differs = differs || rate != rateOther
	}
	if !differs {
		t.Error("the noise does not depend on the seed")
	}
}

func TestWhatIsOutsideATraceIsAsAtItsEnds(t *testing.T) {
	t.Parallel()
	x := synthetic(t, "ramp", 1)
	for _, second := range []int{-1000, -1, 0} {
		if clients, _ := x.At(second); clients != x.Clients[0] {
			t.Errorf("at %d s there are %v clients", second, clients)
		}
	}
	if clients, _ := x.At(x.Seconds() + 99); clients != x.Clients[len(x.Clients)-1] {
		t.Errorf("after the end there are %v clients", clients)
	}
	if double := x.Times(2); double.Clients[5] != 2*x.Clients[5] {
		t.Error("twice the trace is not twice the clients")
	}
}
