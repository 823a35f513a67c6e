package victim_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/victim"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

func node(id string, state fleet.State, connections int, messages float64, uptime time.Duration) load.Node {
	return load.Node{
		Heartbeat: load.Heartbeat{Node: fleet.NodeID(id), Connections: connections, MessagesPerSecond: messages, Uptime: uptime},
		State:     state,
	}
}

func TestTheOrderOfLeaving(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		nodes []load.Node
		want  []fleet.NodeID
	}{
		"nobody": {nil, []fleet.NodeID{}},
		"the fewest connections leave first": {
			[]load.Node{node("a", fleet.Serving, 9, 0, 0), node("b", fleet.Serving, 3, 0, 0), node("c", fleet.Serving, 5, 0, 0)},
			[]fleet.NodeID{"b", "c", "a"},
		},
		"Kubernetes takes what is not ready first, whatever it holds": {
			[]load.Node{node("a", fleet.Serving, 0, 0, 0), node("b", fleet.Starting, 900, 0, 0)},
			[]fleet.NodeID{"b", "a"},
		},
		"who was told to leave leaves before who was not": {
			[]load.Node{node("a", fleet.Serving, 0, 0, 0), node("b", fleet.Leaving, 50, 0, 0), node("c", fleet.Draining, 70, 0, 0), node("d", fleet.Starting, 1, 0, 0)},
			[]fleet.NodeID{"d", "c", "b", "a"},
		},
		"of equal connections the fewest messages": {
			[]load.Node{node("a", fleet.Serving, 5, 30, 0), node("b", fleet.Serving, 5, 20, 0)},
			[]fleet.NodeID{"b", "a"},
		},
		"of equal load the youngest": {
			[]load.Node{node("a", fleet.Serving, 5, 2, time.Hour), node("b", fleet.Serving, 5, 2, time.Minute)},
			[]fleet.NodeID{"b", "a"},
		},
		"of equals the id": {
			[]load.Node{node("b", fleet.Serving, 5, 2, time.Hour), node("a", fleet.Serving, 5, 2, time.Hour)},
			[]fleet.NodeID{"a", "b"},
		},
		"who is gone cannot leave": {
			[]load.Node{node("a", fleet.Gone, 0, 0, 0), node("b", fleet.Serving, 5, 0, 0)},
			[]fleet.NodeID{"b"},
		},
		"what is not a number orders all the same": {
			[]load.Node{node("a", fleet.Serving, 5, 1, 0), node("b", fleet.Serving, 5, math.NaN(), 0)},
			[]fleet.NodeID{"b", "a"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, victim.Order(c.nodes)); diff != "" {
				t.Fatalf("the wrong node would leave (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryReplicaNamesTheSameVictims(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		nodes := make([]load.Node, rapid.IntRange(0, 12).Draw(t, "nodes"))
		for i := range nodes {
			nodes[i] = node(fmt.Sprintf("n%d", i), fleet.State(rapid.IntRange(1, 5).Draw(t, "state")),
				rapid.IntRange(0, 3).Draw(t, "connections"), rapid.SampledFrom([]float64{0, 1, math.NaN()}).Draw(t, "messages"), 0)
		}
		before := slices.Clone(nodes)
		want := victim.Order(nodes)
		if len(nodes) > 0 && fmt.Sprint(nodes) != fmt.Sprint(before) {
			t.Fatal("ordering changed the load model that others read")
		}
		if got := victim.Order(rapid.Permutation(nodes).Draw(t, "shuffled")); !slices.Equal(got, want) {
			t.Fatalf("two readers of one fleet name %v and %v: the stamp and the table would disagree", got, want)
		}
	})
}

func TestWhoIsPicked(t *testing.T) {
	t.Parallel()
	nodes := []load.Node{
		node("idle", fleet.Serving, 0, 0, 0), node("busy", fleet.Serving, 90, 0, 0), node("named", fleet.Leaving, 50, 0, 0),
		node("draining", fleet.Draining, 5, 0, 0), node("gone", fleet.Gone, 0, 0, 0), node("fresh", fleet.Starting, 0, 0, 0),
	}
	cases := map[string]struct {
		nominated []fleet.NodeID
		count     int
		want      []fleet.NodeID
	}{
		"the nominated one though others have less to lose":  {[]fleet.NodeID{"busy"}, 1, []fleet.NodeID{"busy"}},
		"after the nominated ones the usual order":           {[]fleet.NodeID{"busy"}, 3, []fleet.NodeID{"busy", "fresh", "named"}},
		"a nominated node that drains has left already":      {[]fleet.NodeID{"draining", "named"}, 1, []fleet.NodeID{"named"}},
		"a nominated node that nobody knows is gone":         {[]fleet.NodeID{"unknown", "gone"}, 1, []fleet.NodeID{"fresh"}},
		"one that was nominated twice leaves once":           {[]fleet.NodeID{"idle", "idle"}, 2, []fleet.NodeID{"idle", "fresh"}},
		"no more than there are, and none of those who left": {nil, 99, []fleet.NodeID{"fresh", "named", "idle", "busy"}},
		"nobody": {[]fleet.NodeID{"idle"}, 0, []fleet.NodeID{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, victim.Pick(c.nominated, nodes, c.count)); diff != "" {
				t.Fatalf("the wrong node would leave (-want +got):\n%s", diff)
			}
		})
	}
}
