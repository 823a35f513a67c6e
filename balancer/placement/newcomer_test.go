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

func TestALimitSaysWhatANodeCanReallyCarry(t *testing.T) {
	t.Parallel()
	const ceiling = 0.88
	rapid.Check(t, func(t *rapid.T) {
		slow, believed := rapid.Float64Range(1, 3).Draw(t, "slower"), rapid.Float64Range(0.5, 2).Draw(t, "model")
		m := decision.Model{CPU: decision.Cost{Base: 0.05, PerClient: 1e-4 * believed, PerHandshake: 1e-3}, LearnedCPU: true}
		carries := (ceiling - 0.05) / (1e-4 * slow)
		list := nodes(0, 0, 0.4)
		list[1].Connections = 3500
		pic, clients := Picture{}, 0.1*carries
		for range 300 {
			list[0].Connections = int(clients)
			list[0].HandshakesPerSecond = 0.01 * carries
			list[0].CPU = min(1, 0.05+slow*1e-4*clients+1e-3*list[0].HandshakesPerSecond)
			pic = seen(policy.Default(), m, 1, list, pic)
			if n := pic.Of("node-0"); int(clients) < n.Limit.Sessions {
				clients = min(clients+0.01*carries, float64(n.Limit.Sessions))
			}
		}
		if used := 0.05 + slow*1e-4*clients; used > ceiling+0.05 || used < ceiling-0.12 {
			t.Fatalf("a node %.1f times slower, under a model off by %.2f, fills to %.3f: want about %v", slow, believed, used, ceiling)
		}
	})
}

func TestALimitIsToldAnewOnlyWhenItDiffers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := nodes(6000, 0.6, 0.6)
		pic := seen(policy.Default(), perClient(), 20, list, Picture{})
		first := pic.Of("node-0").Limit
		if first.Sessions < 8700 || first.Sessions > 8800 || first.Handshakes < 275 || first.Handshakes > 280 {
			t.Fatalf("limit %+v: want 8,800 sessions and 280 handshakes", first)
		}
		roll := dice(t, "jitter")
		for range 60 {
			list[0].CPU = 0.6 * (0.98 + 0.04*roll())
			pic = seen(policy.Default(), perClient(), 1, list, pic)
		}
		if n := pic.Of("node-0"); n.Limit != first {
			t.Fatalf("limit %+v became %+v for noise: each word is a new table for every node", first, n.Limit)
		}
	})
}

func TestANodeAtItsCeilingAdmitsNobodyNew(t *testing.T) {
	t.Parallel()
	pic := seen(policy.Default(), perClient(), 1, nodes(9300, 0.93, 0.3), Picture{})
	if n := pic.Of("node-0"); n.Limit.Sessions >= 9300 || n.Limit.Sessions < 8000 || n.Limit.Handshakes != 1 {
		t.Errorf("limit %+v with 9,300 clients at 0.93", n.Limit)
	}
	for name, change := range map[string]func(*policy.Policy, *decision.Model){
		"nothing is learned": func(_ *policy.Policy, m *decision.Model) { m.LearnedCPU = false },
		"it is switched off": func(p *policy.Policy, _ *decision.Model) { p.Placement.AdmissionCPU = 0 },
	} {
		p, m := policy.Default(), perClient()
		change(&p, &m)
		pic := seen(p, m, 1, nodes(9300, 0.93, 0.3), Picture{})
		if n := pic.Of("node-0"); n.Limit.Sessions != 0 || n.Limit.Handshakes != 0 {
			t.Errorf("%s: limit %+v, want none: the node goes by its own", name, n.Limit)
		}
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
