package placement

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

func perClient() decision.Model {
	return decision.Model{CPU: decision.Cost{PerClient: 1e-4, PerHandshake: 1e-3}, LearnedCPU: true}
}

func shareOf(list []load.Node) map[fleet.NodeID]float64 {
	return Shares(policy.Default(), seen(policy.Default(), perClient(), 1, list, Picture{}))
}

func TestNewcomersGoToNewNodesAndNotToHotOrFullOnes(t *testing.T) {
	t.Parallel()
	list := nodes(7000, 0.7, 0.7, 0.85, 0, 0.7)
	list[3].Connections = 0
	list[4].MaxConnections = 7000
	got := shareOf(list)
	if got["node-2"] != 0 || got["node-4"] != 0 {
		t.Errorf("shares %v: node-2 is too hot and node-4 is full", got)
	}
	if want := 0.8; math.Abs(got["node-3"]-want) > 1e-9 || got["node-0"] != got["node-1"] {
		t.Errorf("shares %v: want %v for the new node, by the room of 8,000 clients against 1,000 twice", got, want)
	}
}

func TestNoNodeIsSentMoreNewcomersThanItsHandshakesCanBear(t *testing.T) {
	t.Parallel()
	list := nodes(7000, 0.7, 0.7, 0)
	list[2].Connections = 0
	list[0].HandshakesPerSecond, list[0].RefusedPerSecond = 200, 800
	list[0].CPU += 0.2
	got := shareOf(list)
	// The new node could take 800 handshakes a second of the 1,000; the other two 100 each.
	if math.Abs(got["node-2"]-0.8) > 1e-9 {
		t.Errorf("shares %v: the new node must not get all at once", got)
	}
	for _, n := range []fleet.NodeID{"node-0", "node-1"} {
		if math.Abs(got[n]-0.1) > 1e-9 {
			t.Errorf("%s takes %v of the newcomers, want 0.1: handshakes are not its load", n, got[n])
		}
	}
}

func TestWhereNothingIsKnownTheFewestClientsGetTheMost(t *testing.T) {
	t.Parallel()
	list := nodes(3, 0.1, 0.1)
	list[1].Connections = 1
	got := Shares(policy.Default(), seen(policy.Default(), decision.Model{}, 1, list, Picture{}))
	if math.Abs(got["node-1"]-2*got["node-0"]) > 1e-9 {
		t.Errorf("shares %v: want twice as many for the one with half of the clients", got)
	}
}

func TestFullFleetsStillTakeWhoComes(t *testing.T) {
	t.Parallel()
	got := shareOf(nodes(9000, 0.9, 0.95))
	if !(got["node-0"] > got["node-1"]) || math.Abs(got["node-0"]+got["node-1"]-1) > 1e-9 {
		t.Errorf("shares %v: want all placed, the most where the most is left", got)
	}
	leaving := nodes(1000, 0.1, 0.1)
	leaving[0].State = fleet.Draining
	if got := shareOf(leaving); len(got) != 1 || got["node-1"] != 1 {
		t.Errorf("shares %v: a node that leaves takes nobody", got)
	}
	leaving[1].Stale = true
	if got := shareOf(leaving); got != nil {
		t.Errorf("shares %v without a node that is heard", got)
	}
}

func TestAFullNodeIsGivenNothingWhileOthersHaveRoom(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := equalMembers(rapid.IntRange(2, 8).Draw(t, "nodes"))
		for i := range list {
			list[i].Full = i > 0 && rapid.Bool().Draw(t, "full")
		}
		loads := drawLoads(t, 40*len(list))
		p := Problem{Owners: drawOwners(t, list, len(loads)), Loads: loads, Members: list}
		answer := Solve(p)
		full := map[fleet.NodeID]bool{}
		for _, m := range list {
			full[m.ID] = m.Full
		}
		for s, to := range answer.Owners {
			if to == p.Owners[s] || !full[to] {
				continue
			}
			if cause := answer.Causes[s]; cause != Orphan && p.Owners[s] != "" && p.Owners[s] != "stranger" {
				t.Fatalf("shard %d went from %s to %s, which is full (cause %d)", s, p.Owners[s], to, cause)
			}
		}
	})
}
