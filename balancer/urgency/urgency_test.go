package urgency_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/balancer/urgency"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

const ms = time.Millisecond

func in(cpu, memory float64, latency, lag time.Duration) decision.Inputs {
	return decision.Inputs{CPU: cpu, Memory: memory, P95Latency: latency, InboxLag: lag}
}

func node(state fleet.State, cpu, memory float64) load.Node {
	return load.Node{Heartbeat: load.Heartbeat{CPU: cpu, Memory: memory}, State: state}
}

func TestRowsOfTheTable(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		in     decision.Inputs
		nodes  []load.Node
		want   decision.Urgency
		reason string
	}{
		"an empty fleet is balanced":                       {in(0, 0, 0, 0), nil, 0, "balanced"},
		"average CPU above 0.70 is critical":               {in(0.701, 0, 0, 0), nil, 3, "resource-overload"},
		"average CPU of 0.70 is not yet":                   {in(0.70, 0, 0, 0), nil, 0, "balanced"},
		"average memory above 0.75 is critical":            {in(0, 0.751, 0, 0), nil, 3, "resource-overload"},
		"average memory of 0.75 is not yet":                {in(0, 0.75, 0, 0), nil, 0, "balanced"},
		"one node above 0.85 CPU is a hotspot":             {in(0.3, 0, 0, 0), []load.Node{node(fleet.Serving, 0.1, 0), node(fleet.Serving, 0.851, 0)}, 3, "hotspot"},
		"one node at 0.85 CPU is none":                     {in(0.3, 0, 0, 0), []load.Node{node(fleet.Serving, 0.85, 0.90)}, 0, "balanced"},
		"one node above 0.90 memory is a hotspot":          {in(0.3, 0, 0, 0), []load.Node{node(fleet.Serving, 0, 0.901)}, 3, "hotspot"},
		"overload is told before a hotspot":                {in(0.8, 0, 0, 0), []load.Node{node(fleet.Serving, 0.95, 0)}, 3, "resource-overload"},
		"a starting node may burn CPU":                     {in(0.3, 0, 0, 0), []load.Node{node(fleet.Starting, 1, 1)}, 0, "balanced"},
		"a draining node may burn CPU":                     {in(0.3, 0, 0, 0), []load.Node{node(fleet.Draining, 1, 1)}, 0, "balanced"},
		"latency above 500 ms under CPU pressure is high":  {in(0.51, 0, 501*ms, 0), nil, 2, "high-latency"},
		"latency above 500 ms under memory pressure too":   {in(0, 0.51, 501*ms, 0), nil, 2, "high-latency"},
		"latency without pressure is not cured by pods":    {in(0.5, 0.5, 9*time.Second, 0), nil, 0, "balanced"},
		"latency of 500 ms is not yet high":                {in(0.51, 0, 500*ms, 0), nil, 0, "balanced"},
		"lag above 500 ms under pressure is high":          {in(0.51, 0, 0, 501*ms), nil, 2, "kafka-backlog"},
		"lag without pressure is not cured by pods":        {in(0.5, 0.5, 0, 9*time.Second), nil, 0, "balanced"},
		"latency is told before lag":                       {in(0.51, 0, 501*ms, 501*ms), nil, 2, "high-latency"},
		"all four above their limits are moderate":         {in(0.601, 0.651, 301*ms, 301*ms), nil, 1, "combined-pressure"},
		"three of the four are not: CPU":                   {in(0.60, 0.651, 301*ms, 301*ms), nil, 0, "balanced"},
		"three of the four are not: memory":                {in(0.601, 0.65, 301*ms, 301*ms), nil, 0, "balanced"},
		"three of the four are not: latency":               {in(0.601, 0.651, 300*ms, 301*ms), nil, 0, "balanced"},
		"three of the four are not: lag":                   {in(0.601, 0.651, 301*ms, 300*ms), nil, 0, "balanced"},
		"what is not a number matches no row":              {in(math.NaN(), math.NaN(), 0, 0), []load.Node{node(fleet.Serving, math.NaN(), math.NaN())}, 0, "balanced"},
		"no average hides the one node that has a hotspot": {in(0, 0, 0, 0), []load.Node{node(fleet.Serving, 0.99, 0)}, 3, "hotspot"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, reason := urgency.Of(policy.Default(), c.in, c.nodes)
			if got != c.want || reason != c.reason {
				t.Fatalf("urgency %s for %s, want %s for %s", got, reason, c.want, c.reason)
			}
		})
	}
}

func TestMoreLoadIsNeverLessUrgent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		fraction, delay := rapid.Float64Range(0, 1.5), rapid.Int64Range(0, int64(2*time.Second))
		low := in(fraction.Draw(t, "cpu"), fraction.Draw(t, "memory"), time.Duration(delay.Draw(t, "p95")), time.Duration(delay.Draw(t, "lag")))
		high := low
		high.CPU += fraction.Draw(t, "moreCPU")
		high.Memory += fraction.Draw(t, "moreMemory")
		high.P95Latency += time.Duration(delay.Draw(t, "moreP95"))
		high.InboxLag += time.Duration(delay.Draw(t, "moreLag"))
		before, _ := urgency.Of(policy.Default(), low, nil)
		after, _ := urgency.Of(policy.Default(), high, nil)
		if after < before {
			t.Fatalf("urgency fell from %s to %s while every reading rose: an overload would be called off by its own growth", before, after)
		}
	})
}

func BenchmarkUrgency(b *testing.B) {
	nodes := make([]load.Node, 1000)
	for i := range nodes {
		nodes[i] = node(fleet.Serving, 0.5, 0.5)
		nodes[i].Node = fleet.NodeID(fmt.Sprintf("node-%d", i))
	}
	p, inputs := policy.Default(), in(0.5, 0.5, 100*ms, 100*ms)
	b.ReportAllocs()
	for b.Loop() {
		urgency.Of(p, inputs, nodes)
	}
}
