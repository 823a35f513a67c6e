package placement

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

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

func TestLoadsAddUpWhatEveryNodeSaysOfAShard(t *testing.T) {
	t.Parallel()
	list := nodes(0, 0, 0)
	list[0].Shards = []load.Shard{{ID: 0, Connections: 10, MessagesPerSecond: 2.5}, {ID: 9, Connections: 99}}
	list[1].Shards = []load.Shard{{ID: 0, Connections: 1}, {ID: 1, Connections: 4}, {ID: -1, Connections: 99}}
	first := Loads(list, 3, nil)
	if diff := cmp.Diff([]float64{13.5, 4, 0}, first); diff != "" {
		t.Errorf("loads (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]float64{12.825, 3.8, 0}, Loads(nil, 3, first)); diff != "" {
		t.Errorf("loads a second after everybody left, damped (-want +got):\n%s", diff)
	}
}

func TestNodesThatUseWhatTheirClientsExplainWeighOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := nodes(0, make([]float64, rapid.IntRange(2, 10).Draw(t, "nodes"))...)
		for i := range list {
			list[i].Connections = rapid.IntRange(100, 8000).Draw(t, "clients")
			list[i].CPU = float64(list[i].Connections) / 10_000
		}
		for id, weight := range Weights(list, nil, 0.80) {
			if weight < 0.999 || weight > 1.001 {
				t.Fatalf("%s weighs %v because of the clients it happens to have: shards would chase each other", id, weight)
			}
		}
	})
}

func TestANodeWithANoisyNeighbourWeighsLess(t *testing.T) {
	t.Parallel()
	weights := Weights(nodes(1000, 0.3, 0.3, 0.3, 0.6), nil, 0.80)
	if got, other := weights["node-3"], weights["node-0"]; got > 0.75 || got < lightest || other < 1 {
		t.Errorf("the slow node weighs %v, the others %v", got, other)
	}
}

func TestANodeThatRefusesHandshakesWeighsLess(t *testing.T) {
	t.Parallel()
	list := nodes(1000, 0.3, 0.3)
	list[1].HandshakesPerSecond, list[1].RefusedPerSecond = 100, 300
	if got := Weights(list, nil, 0.80)["node-1"]; got != 0.5 {
		t.Errorf("a node that refuses three of four handshakes weighs %v: want half", got)
	}
}

func TestWithoutEnoughClientsEveryNodeWeighsOne(t *testing.T) {
	t.Parallel()
	for name, list := range map[string][]load.Node{
		"idle":     nodes(0, 0.01, 0.2),
		"few":      nodes(5, 0.01, 0.2),
		"one node": nodes(5000, 0.9),
	} {
		for id, weight := range Weights(list, nil, 0.80) {
			if weight != 1 {
				t.Errorf("%s: %s weighs %v", name, id, weight)
			}
		}
	}
}

func TestWeightsAreAlwaysUsable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := nodes(0, make([]float64, rapid.IntRange(1, 6).Draw(t, "nodes"))...)
		previous := map[fleet.NodeID]float64{}
		for i := range list {
			n := &list[i]
			n.CPU, n.Memory = rapid.Float64Range(0, 100).Draw(t, "cpu"), rapid.Float64Range(0, 100).Draw(t, "memory")
			n.Connections = rapid.IntRange(0, 1_000_000).Draw(t, "clients")
			n.RefusedPerSecond = rapid.Float64Range(0, 1e9).Draw(t, "refused")
			n.Stale = rapid.Bool().Draw(t, "stale")
			n.State = rapid.SampledFrom([]fleet.State{fleet.Starting, fleet.Serving, fleet.Draining}).Draw(t, "state")
			if rapid.Bool().Draw(t, "known") {
				previous[n.Node] = rapid.Float64Range(lightest, heaviest).Draw(t, "previous")
			}
		}
		for id, weight := range Weights(list, previous, rapid.Float64Range(0, 1).Draw(t, "ceiling")) {
			if !(weight >= lightest && weight <= heaviest) {
				t.Fatalf("%s weighs %v: shares would be useless", id, weight)
			}
		}
	})
}

// Measured use jitters by 2 % and more from second to second; the weights in use, and so the shards, stay.
func TestJitterOfUseChangesNoWeight(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cpus := rapid.SliceOfN(rapid.Float64Range(0.1, 0.7), 2, 8).Draw(t, "cpus")
		used := Weights(nodes(1000, cpus...), nil, 0.80)
		for i := range cpus {
			cpus[i] *= rapid.Float64Range(0.98, 1.02).Draw(t, "jitter")
		}
		if diff := cmp.Diff(used, Weights(nodes(1000, cpus...), used, 0.80)); diff != "" {
			t.Fatalf("weights changed for noise:\n%s", diff)
		}
	})
}

func TestAStaleNodeKeepsItsWeight(t *testing.T) {
	t.Parallel()
	list := nodes(1000, 0.3, 0.3, 0.7)
	list[2].Stale = true
	if got := Weights(list, map[fleet.NodeID]float64{"node-2": 0.9}, 0.80)["node-2"]; got != 0.9 {
		t.Errorf("a node that is not heard weighs %v: want what it weighed", got)
	}
}
