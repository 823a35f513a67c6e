package placement

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

// plain is weighted rendezvous hashing without a bound, for comparison.
func plain(shards int, list []Member) []fleet.NodeID {
	nodes := sortedNodes(list)
	owners := make([]fleet.NodeID, shards)
	for s := range owners {
		best := slices.MaxFunc(nodes, func(a, b node) int {
			if a.score(int32(s)) < b.score(int32(s)) {
				return -1
			}
			return 1
		})
		owners[s] = best.id
	}
	return owners
}

func busiest(owners []fleet.NodeID, loads []float64, list []Member) float64 {
	held, total := tally(owners, loads)
	most := 0.0
	for id, share := range shares(list, total) {
		most = max(most, held[id]/share)
	}
	return most
}

func TestTheBusiestOf50NodesStaysWithinTheLimitWherePlainRendezvousDoesNot(t *testing.T) {
	t.Parallel()
	list, loads := equalMembers(50), equalLoads(1024, 40)
	if got := busiest(plain(1024, list), loads, list); got < 1.3 {
		t.Errorf("plain rendezvous: the busiest of 50 nodes is at %.2fx: the bound would be needless", got)
	}
	if got := busiest(Assign(make([]fleet.NodeID, 1024), loads, list), loads, list); got > Limit {
		t.Errorf("the busiest of 50 nodes is at %.3fx: at most %v may be", got, Limit)
	}
}

func TestMostShardsAreWhereRendezvousWantsThem(t *testing.T) {
	t.Parallel()
	list, loads := equalMembers(20), equalLoads(1024, 40)
	got, want := Assign(make([]fleet.NodeID, 1024), loads, list), plain(1024, list)
	same := 0
	for s := range got {
		if got[s] == want[s] {
			same++
		}
	}
	if same < 800 {
		t.Errorf("%d of 1024 shards are at their first choice: a rebuilt table would move the others", same)
	}
}

func TestAnIdleFleetSpreadsByCount(t *testing.T) {
	t.Parallel()
	counts := map[fleet.NodeID]int{}
	for _, owner := range Assign(make([]fleet.NodeID, 64), make([]float64, 64), equalMembers(4)) {
		counts[owner]++
	}
	for id, count := range counts {
		if count < 15 || count > 17 {
			t.Errorf("%s owns %d of 64 idle shards: the first clients would crowd one node", id, count)
		}
	}
}

func TestTheFirstClientOfAnIdleFleetMovesNothing(t *testing.T) {
	t.Parallel()
	list, loads := equalMembers(3), make([]float64, 64)
	before := Assign(make([]fleet.NodeID, 64), loads, list)
	loads[7], loads[8] = 1, 2
	if diff := cmp.Diff(before, Assign(before, loads, list)); diff != "" {
		t.Errorf("one client makes its shard \"heavy\":\n%s", diff)
	}
}

func TestAHeavyShardKeepsANodeToItselfAndStaysWhereItIs(t *testing.T) {
	t.Parallel()
	list, loads := equalMembers(4), equalLoads(64, 10)
	before := Assign(make([]fleet.NodeID, 64), loads, list)
	loads[5] = 1000
	after := Assign(before, loads, list)
	if after[5] != before[5] {
		t.Errorf("the heavy shard moved from %s to %s: the dearest move of all", before[5], after[5])
	}
	for s, owner := range after {
		if s != 5 && owner == after[5] {
			t.Errorf("shard %d shares %s with the heavy one", s, owner)
		}
	}
	if diff := cmp.Diff([]shard.ID{5}, aloneShards(loads, list)); diff != "" {
		t.Errorf("heavy shards (-want +got):\n%s", diff)
	}
	if got := aloneShards(equalLoads(64, 10), list); got != nil {
		t.Errorf("even shards are reported as heavy: %v", got)
	}
}

func TestAHeavyShardLeavesANodeThatIsMuchTooSmall(t *testing.T) {
	t.Parallel()
	list, loads := members(1, 1, 0.3), equalLoads(30, 10)
	owners := make([]fleet.NodeID, 30)
	for s := range owners {
		owners[s] = "node-0"
	}
	owners[3], loads[3] = "node-2", 5000
	if after := Assign(owners, loads, list); after[3] == "node-2" {
		t.Error("the heavy shard stays on a node of 0.3 while nodes of 1 could have it")
	}
}

func TestFewerShardsThanNodesGetANodeEach(t *testing.T) {
	t.Parallel()
	list := equalMembers(10)
	after := Assign(make([]fleet.NodeID, 4), equalLoads(4, 50), list)
	slices.Sort(after)
	if got := len(slices.Compact(after)); got != 4 {
		t.Errorf("4 shards are on %d of 10 nodes", got)
	}
	if got := aloneShards(make([]float64, 4), list); got != nil {
		t.Errorf("shards of an idle fleet are reported as heavy: %v", got)
	}
}

func TestPoisonedNumbersDoNotMoveAFleet(t *testing.T) {
	t.Parallel()
	list, loads := equalMembers(4), equalLoads(64, 10)
	before := Assign(make([]fleet.NodeID, 64), loads, list)
	for name, poison := range map[string]float64{"NaN": math.NaN(), "negative": -1e9, "minus infinite": math.Inf(-1)} {
		poisoned := slices.Clone(loads)
		poisoned[9] = poison
		if _, _, count := moved(before, Assign(before, poisoned, list), loads); count > 2 {
			t.Errorf("a %s load moved %d shards", name, count)
		}
	}
	for name, poison := range map[string]float64{"NaN": math.NaN(), "zero": 0, "negative": -1, "infinite": math.Inf(1)} {
		bad := slices.Clone(list)
		bad[2].Weight = poison
		for s, owner := range Assign(before, loads, bad) {
			if !slices.ContainsFunc(list, func(m Member) bool { return m.ID == owner }) {
				t.Errorf("with a %s weight shard %d has owner %q", name, s, owner)
			}
		}
	}
	if got := Assign(before, []float64{math.Inf(1)}, list); len(got) != 64 {
		t.Errorf("missing loads: %d owners for 64 shards", len(got))
	}
}

func TestWithoutMembersThereAreNoOwners(t *testing.T) {
	t.Parallel()
	for s, owner := range Assign([]fleet.NodeID{"a", "b"}, nil, nil) {
		if owner != "" {
			t.Errorf("shard %d has owner %q in a fleet without nodes", s, owner)
		}
	}
	if got := Solve(Problem{Owners: []fleet.NodeID{"a"}}); got.Changed() || got.Owners[0] != "a" {
		t.Errorf("Solve without members changed the owners: %v", got)
	}
}

func TestAMemberListedTwiceCountsOnce(t *testing.T) {
	t.Parallel()
	list := equalMembers(2)
	twice := append(slices.Clone(list), Member{ID: "node-0", Weight: 3})
	loads := equalLoads(64, 10)
	if diff := cmp.Diff(Assign(make([]fleet.NodeID, 64), loads, list), Assign(make([]fleet.NodeID, 64), loads, twice)); diff != "" {
		t.Errorf("a node listed twice got more (-want +got):\n%s", diff)
	}
}

func TestChanceBelowItsSquareRootMovesNothing(t *testing.T) {
	t.Parallel()
	list := equalMembers(2)
	loads := equalLoads(64, 2)
	before := Assign(make([]fleet.NodeID, 64), loads, list)
	// Seven more clients on one node of 64: more than the limit, less than the square root of 67.
	added := 0
	for s, owner := range before {
		if owner == "node-0" && added < 7 {
			loads[s]++
			added++
		}
	}
	if _, _, count := moved(before, Assign(before, loads, list), loads); count > 0 {
		t.Errorf("%d shards moved for what chance explains", count)
	}
}
