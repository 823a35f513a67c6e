package capacity_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/capacity"
	"github.com/tidegate/tidegate/balancer/policy"
)

func TestNeedsOfEachDimension(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.ConnectionsPerPod, p.MessagesPerPod = 1000, 500
	p.CPUCeiling, p.MemoryCeiling, p.MemoryBase = 0.8, 0.8, 0.3
	l := capacity.Load{
		Clients: 4000, Connected: 4000, Messages: 1500,
		Serving: capacity.Share{Nodes: 2, Clients: 4000, CPU: 1.6, Memory: 1.6},
	}
	got := capacity.Of(p, capacity.Prior(p), l, 2, 1.1)
	want := capacity.Needs{Connections: 8.8, Messages: 6.6, CPU: 4.4, Memory: 4.4}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })); diff != "" {
		t.Fatalf("needs (-want +got):\n%s", diff)
	}
	need, from := got.Most()
	if math.Abs(need-8.8) > 1e-9 || from != capacity.Connections {
		t.Fatalf("the largest need is %v from %s, want 8.8 from connections", need, from)
	}
	for _, c := range []struct {
		needs capacity.Needs
		from  capacity.Dimension
	}{
		{capacity.Needs{Messages: 1}, capacity.Messages},
		{capacity.Needs{CPU: 1}, capacity.CPU},
		{capacity.Needs{Memory: 1}, capacity.Memory},
		{capacity.Needs{}, capacity.Connections},
	} {
		if _, from := c.needs.Most(); from != c.from {
			t.Errorf("%+v: the need is said to come from %s, want %s", c.needs, from, c.from)
		}
	}
}

func TestUnknownCapacityAsksForNothing(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	got := capacity.Of(p, capacity.Prior(p), capacity.Load{Clients: 1e6, Connected: 1e6, Messages: 1e6}, 1, 1)
	if got != (capacity.Needs{}) {
		t.Fatalf("nothing was declared, yet %+v is asked for", got)
	}
}

func TestWholePodsForgiveFloatDust(t *testing.T) {
	t.Parallel()
	cases := map[float64]int{
		0: 0, 3: 3, 3.0000000001: 3, 3.0001: 4, 2.9999999: 3, 0.0000000001: 0, 0.2: 1, 1000.0000001: 1000,
		-5: 0, math.Inf(1): 999_999_999, math.Inf(-1): 0, math.NaN(): 0, 1e300: 999_999_999,
	}
	for need, want := range cases {
		if got := capacity.Whole(need); got != want {
			t.Errorf("a need of %v is %d pods, want %d", need, got, want)
		}
	}
}

func TestNoLoadMakesAnAbsurdNeed(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.ConnectionsPerPod, p.MessagesPerPod = 1, 1
	any64 := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 0, math.MaxFloat64}))
	rapid.Check(t, func(t *rapid.T) {
		share := func(of string) capacity.Share {
			return capacity.Share{
				Nodes: any64.Draw(t, of+" nodes"), Clients: any64.Draw(t, of+" clients"), Handshakes: any64.Draw(t, of+" handshakes"),
				CPU: any64.Draw(t, of+" cpu"), Memory: any64.Draw(t, of+" memory"),
			}
		}
		cost := func(of string) capacity.Cost {
			return capacity.Cost{
				Base: any64.Draw(t, of+" base"), PerClient: any64.Draw(t, of+" a client"), PerMessage: any64.Draw(t, of+" a message"), PerHandshake: any64.Draw(t, of+" a handshake"),
			}
		}
		l := capacity.Load{
			Clients: any64.Draw(t, "clients"), Connected: any64.Draw(t, "connected"), Messages: any64.Draw(t, "messages"), Churn: any64.Draw(t, "churn"),
			Limit: any64.Draw(t, "limit"), Serving: share("serving"), Others: share("others"),
		}
		m := capacity.Model{CPU: cost("cpu"), Memory: cost("memory"), LearnedCPU: rapid.Bool().Draw(t, "learned cpu"), LearnedMemory: rapid.Bool().Draw(t, "learned memory")}
		need, _ := capacity.Of(p, m, l, any64.Draw(t, "growth"), any64.Draw(t, "margin")).Most()
		if !(need >= 0 && need <= 1e9) || capacity.Whole(need) < 0 {
			t.Fatalf("%+v asks for %v pods", l, need)
		}
	})
}

// Right after an outage a handful are connected and all others wait: what the nodes spend on starting must not be multiplied by
// how few they serve.
func TestAFewWhoCameBackDoNotStandForAllWhoWait(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	m := capacity.Model{CPU: capacity.Cost{Base: 0.05, PerClient: 0.75 / 3000}, LearnedCPU: true}
	l := capacity.Load{Clients: 20_000, Connected: 20, Serving: capacity.Share{Nodes: 7, Clients: 20, CPU: 7 * 0.25, Memory: 7 * 0.2}}
	need, from := capacity.Of(p, m, l, 1, 1).Most()
	if need > 9 {
		t.Fatalf("20,000 clients, 3,000 to a node, of whom 20 are back: %v nodes are asked for by %s", need, from)
	}
	if need < 6 {
		t.Fatalf("those who wait are forgotten: %v nodes", need)
	}
}
