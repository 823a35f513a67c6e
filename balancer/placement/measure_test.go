package placement

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/shard"
)

// began is the first reading of every test.
var began = time.UnixMilli(1_900_000_000_000)

// nodes makes serving nodes that hold so many clients each and use so much CPU.
func nodes(clients int, cpus ...float64) []load.Node {
	list := make([]load.Node, len(cpus))
	for i, cpu := range cpus {
		list[i] = load.Node{State: fleet.Serving, Heartbeat: load.Heartbeat{
			Node: fleet.NodeID(fmt.Sprintf("node-%d", i)), Connections: clients, CPU: cpu,
		}}
	}
	return list
}

// seen is the picture after readings a second apart, each of the same nodes.
func seen(p policy.Policy, m decision.Model, readings int, list []load.Node, last Picture) Picture {
	for range readings {
		at := last.At.Add(time.Second)
		if last.At.IsZero() {
			at = began
		}
		last = Observe(p, m, list, 3, at, last)
	}
	return last
}

// weights is what nodes weigh at their first reading, and again when they have weighed something before.
func weights(list []load.Node, previous map[fleet.NodeID]float64) map[fleet.NodeID]float64 {
	last := seen(policy.Default(), decision.Model{}, 1, list, Picture{})
	for i := range last.Nodes {
		if w, known := previous[last.Nodes[i].ID]; known {
			last.Nodes[i].Weight, last.Nodes[i].trend = w, w
		}
	}
	if previous != nil {
		last = seen(policy.Default(), decision.Model{}, 1, list, last)
	}
	weights := map[fleet.NodeID]float64{}
	for _, n := range last.Nodes {
		weights[n.ID] = n.Weight
	}
	return weights
}

// lightest is the smallest weight of the default policy.
func lightest() float64 { return 1 - policy.Default().Placement.WeightSpread }

func TestShardsAddUpWhatEveryNodeSaysOfThemAndFollowItSlowly(t *testing.T) {
	t.Parallel()
	list := nodes(0, 0, 0)
	list[0].Shards = []load.Shard{{ID: 0, Connections: 10, MessagesPerSecond: 2.5}, {ID: 9, Connections: 99}}
	list[1].Shards = []load.Shard{{ID: 0, Connections: 1}, {ID: 1, Connections: 4}, {ID: -1, Connections: 99}}
	first := seen(policy.Default(), decision.Model{}, 1, list, Picture{})
	if diff := cmp.Diff([]float64{13.5, 4, 0}, first.Loads); diff != "" {
		t.Errorf("loads (-want +got):\n%s", diff)
	}
	for _, pace := range []time.Duration{time.Second, 5 * time.Second} {
		pic := first
		for pic.At.Before(began.Add(20 * time.Second)) {
			pic = Observe(policy.Default(), decision.Model{}, nil, 3, pic.At.Add(pace), pic)
		}
		if want := 13.5 / math.E; math.Abs(pic.Loads[0]-want) > 1e-9 {
			t.Errorf("20 s after everybody left, read every %s, shard 0 counts %v: want %v, whatever the pace", pace, pic.Loads[0], want)
		}
	}
	if again := Observe(policy.Default(), decision.Model{}, nil, 3, first.At, first); cmp.Diff(first.Loads, again.Loads) != "" {
		t.Errorf("a second look at the same time gives %v: a leader looks twice", again.Loads)
	}
}

func TestShardsCountWhatTheyCostOnceThatIsLearned(t *testing.T) {
	t.Parallel()
	list := nodes(300, 0.5, 0.5)
	list[0].Shards = []load.Shard{{ID: 0, Connections: 100}, {ID: 1, Connections: 100, MessagesPerSecond: 50}, {ID: 2, Connections: 100, MessagesPerSecond: 50}}
	m := decision.Model{CPU: decision.Cost{PerClient: 1e-4, PerMessage: 4e-4}, LearnedCPU: true}
	loads := seen(policy.Default(), m, 1, list, Picture{}).Loads
	if diff := cmp.Diff([]float64{100 * 3 / 7.0, 300 * 3 / 7.0, 300 * 3 / 7.0}, loads, nearly()); diff != "" {
		t.Errorf("a message costs four clients, and the mean client counts 1 (-want +got):\n%s", diff)
	}
	// Memory is what fills up: it knows no messages.
	m.Memory, m.LearnedMemory = decision.Cost{Base: 0.1, PerClient: 1e-3}, true
	loads = seen(policy.Default(), m, 1, list, Picture{}).Loads
	if diff := cmp.Diff([]float64{100, 100, 100}, loads, nearly()); diff != "" {
		t.Errorf("loads where memory binds (-want +got):\n%s", diff)
	}
}

func nearly() cmp.Option {
	return cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a)) })
}

func TestNodesThatUseWhatTheirClientsExplainWeighOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := nodes(0, make([]float64, rapid.IntRange(2, 10).Draw(t, "nodes"))...)
		base := rapid.SampledFrom([]float64{0, 0.1}).Draw(t, "base")
		m := decision.Model{CPU: decision.Cost{Base: base, PerClient: 1e-4}, LearnedCPU: base > 0}
		for i := range list {
			list[i].Connections = rapid.IntRange(100, 8000).Draw(t, "clients")
			list[i].CPU = base + float64(list[i].Connections)/10_000
		}
		for _, n := range seen(policy.Default(), m, 1, list, Picture{}).Nodes {
			if n.Weight < 0.999 || n.Weight > 1.001 {
				t.Fatalf("%s weighs %v because of the clients it happens to have: shards would chase each other", n.ID, n.Weight)
			}
		}
	})
}

func TestANodeWithANoisyNeighbourWeighsLess(t *testing.T) {
	t.Parallel()
	got := weights(nodes(1000, 0.3, 0.3, 0.3, 0.6), nil)
	if slow, other := got["node-3"], got["node-0"]; slow > 0.75 || slow < lightest() || other < 1 {
		t.Errorf("the slow node weighs %v, the others %v", slow, other)
	}
}

// A node that is several times slower gets its right weight at once, and keeps it while its load follows.
func TestTheWeightOfASlowNodeComesToRest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		slow, full := rapid.Float64Range(1.3, 2.2).Draw(t, "slower"), rapid.Float64Range(0.7, 0.8).Draw(t, "load")
		m := decision.Model{CPU: decision.Cost{PerClient: 1e-4}, LearnedCPU: true}
		pic, clients, changes := Picture{}, 10_000*full, 0
		for round := range 24 {
			list := nodes(int(10_000*full), full, full)
			list[1].Connections, list[1].CPU = int(clients), min(1, slow*clients/10_000)
			before := 0.0
			if n := pic.Of("node-1"); n != nil {
				before = n.Weight
			}
			pic = seen(policy.Default(), m, 30, list, pic)
			after := pic.Of("node-1").Weight
			if round >= 12 && after != before {
				changes++
			}
			clients = 10_000 * full * after
		}
		if n := pic.Of("node-1"); changes > 1 || n.Level.CPU > 0.95 || n.Level.CPU < 0.5 {
			t.Fatalf("a node %.1f times slower ends at weight %.2f and %.2f CPU and still changed its mind %d times", slow, n.Weight, n.Level.CPU, changes)
		}
	})
}

func TestANodeThatRefusesHandshakesOthersTakeWeighsLess(t *testing.T) {
	t.Parallel()
	list := nodes(1000, 0.3, 0.3)
	list[0].HandshakesPerSecond = 100
	list[1].HandshakesPerSecond, list[1].RefusedPerSecond = 100, 900
	if got := weights(list, nil)["node-1"]; got != 0.55 {
		t.Errorf("a node that takes a tenth where the fleet takes two of eleven weighs %v: want 0.55", got)
	}
	list[0].RefusedPerSecond = 900
	for id, got := range weights(list, nil) {
		if got != 1 {
			t.Errorf("%s weighs %v though all refuse alike: a storm would move shards about", id, got)
		}
	}
}

func TestWithoutEnoughClientsEveryNodeWeighsOne(t *testing.T) {
	t.Parallel()
	for name, list := range map[string][]load.Node{
		"idle":     nodes(0, 0.01, 0.2),
		"few":      nodes(5, 0.01, 0.2),
		"one node": nodes(5000, 0.9),
	} {
		for id, weight := range weights(list, nil) {
			if weight != 1 {
				t.Errorf("%s: %s weighs %v", name, id, weight)
			}
		}
	}
}

func TestPicturesAreAlwaysUsable(t *testing.T) {
	t.Parallel()
	odd := rapid.SampledFrom([]float64{0, 1e-12, 1e-4, 0.5, 1, 1e9, -1, math.NaN(), math.Inf(1)})
	rapid.Check(t, func(t *rapid.T) {
		cost := func() decision.Cost {
			return decision.Cost{Base: odd.Draw(t, "base"), PerClient: odd.Draw(t, "client"), PerMessage: odd.Draw(t, "message"), PerHandshake: odd.Draw(t, "handshake")}
		}
		m := decision.Model{CPU: cost(), Memory: cost(), LearnedCPU: rapid.Bool().Draw(t, "cpu"), LearnedMemory: rapid.Bool().Draw(t, "memory")}
		p := policy.Default()
		p.PlacementRoom = rapid.Float64Range(0.05, 1).Draw(t, "ceiling")
		pic := Picture{At: began}
		for range rapid.IntRange(1, 4).Draw(t, "readings") {
			list := nodes(0, make([]float64, rapid.IntRange(1, 6).Draw(t, "nodes"))...)
			for i := range list {
				n := &list[i]
				n.CPU, n.Memory = rapid.Float64Range(0, 100).Draw(t, "cpu"), rapid.Float64Range(0, 100).Draw(t, "memory")
				n.Connections = rapid.IntRange(0, 1_000_000).Draw(t, "clients")
				n.RefusedPerSecond = rapid.Float64Range(0, 1e9).Draw(t, "refused")
				n.Stale = rapid.Bool().Draw(t, "stale")
				n.State = rapid.SampledFrom([]fleet.State{fleet.Starting, fleet.Serving, fleet.Draining}).Draw(t, "state")
				n.Shards = []load.Shard{{ID: shard.ID(i), Connections: n.Connections, MessagesPerSecond: n.RefusedPerSecond}}
			}
			pic = Observe(p, m, list, 6, pic.At.Add(time.Duration(rapid.IntRange(-3, 30).Draw(t, "passed"))*time.Second), pic)
			checkPicture(t, p, pic)
		}
	})
}

func checkPicture(t *rapid.T, p policy.Policy, pic Picture) {
	t.Helper()
	for _, n := range pic.Nodes {
		if !(n.Weight >= lightest() && n.Weight <= heaviest) {
			t.Fatalf("%s weighs %v: shares would be useless", n.ID, n.Weight)
		}
		if n.Limit.Sessions < 0 || n.Limit.Sessions > math.MaxInt32 || n.Limit.Handshakes < 0 || n.Limit.Handshakes > mostHandshakes {
			t.Fatalf("%s may take %+v: no table could say so", n.ID, n.Limit)
		}
	}
	for s, l := range pic.Loads {
		if !(l >= 0) || math.IsInf(l, 1) {
			t.Fatalf("shard %d counts %v", s, l)
		}
	}
	for i, use := range pic.Project(make([]fleet.NodeID, len(pic.Shards))) {
		if !(use.most() >= 0) || math.IsInf(use.most(), 1) {
			t.Fatalf("%s is to use %v", pic.Nodes[i].ID, use)
		}
	}
	total := 0.0
	shares := Shares(p, pic)
	for id, part := range shares {
		if !(part >= 0 && part <= 1+1e-9) {
			t.Fatalf("%s takes %v of the newcomers", id, part)
		}
		total += part
	}
	if shares != nil && math.Abs(total-1) > 1e-9 {
		t.Fatalf("%v of the newcomers are placed: %v", total, shares)
	}
}

// Measured use jitters by 2 % and more from second to second; the weights in use, and so the shards, stay.
func TestJitterOfUseChangesNoWeight(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cpus := rapid.SliceOfN(rapid.Float64Range(0.1, 0.7), 2, 8).Draw(t, "cpus")
		used := weights(nodes(1000, cpus...), nil)
		for i := range cpus {
			cpus[i] *= rapid.Float64Range(0.98, 1.02).Draw(t, "jitter")
		}
		if diff := cmp.Diff(used, weights(nodes(1000, cpus...), used)); diff != "" {
			t.Fatalf("weights changed for noise:\n%s", diff)
		}
	})
}

func TestAStaleNodeKeepsItsWeight(t *testing.T) {
	t.Parallel()
	list := nodes(1000, 0.3, 0.3, 0.7)
	list[2].Stale = true
	if got := weights(list, map[fleet.NodeID]float64{"node-2": 0.9})["node-2"]; got != 0.9 {
		t.Errorf("a node that is not heard weighs %v: want what it weighed", got)
	}
}

func TestANewLifeOfANodeStartsWithoutItsPast(t *testing.T) {
	t.Parallel()
	m := decision.Model{CPU: decision.Cost{PerClient: 1e-4}, LearnedCPU: true}
	list := nodes(5000, 0.5, 0.95)
	pic := seen(policy.Default(), m, 30, list, Picture{})
	list[1].Incarnation, list[1].Connections, list[1].CPU = 2, 0, 0.01
	pic = seen(policy.Default(), m, 1, list, pic)
	if n := pic.Of("node-1"); n.Weight < 0.95 || n.Level.CPU != 0.01 {
		t.Errorf("the restarted node weighs %v at %v CPU: it would get no newcomers for what it was", n.Weight, n.Level.CPU)
	}
}

func TestWeightsCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.Placement.WeightSpread = 0
	pic := seen(p, decision.Model{}, 3, nodes(1000, 0.2, 0.2, 0.9), Picture{})
	if got := pic.Of("node-2").Weight; got != 1 {
		t.Errorf("the slow node weighs %v", got)
	}
}
