package placement_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/placement"
	"github.com/tidegate/tidegate/internal/fleet"
)

// spread places shards of equal load on so many old and new members.
func spread(shards, old, fresh int) (members []placement.Member, owners []fleet.NodeID, loads []float64) {
	for i := range old + fresh {
		kind := "new"
		if i < old {
			kind = "old"
		}
		members = append(members, placement.Member{ID: fleet.NodeID(fmt.Sprintf("%s-%02d", kind, i)), Weight: 1, Old: i < old})
	}
	loads = make([]float64, shards)
	for i := range loads {
		loads[i] = 100
	}
	return members, placement.Assign(make([]fleet.NodeID, shards), loads, members), loads
}

func old(id fleet.NodeID) bool { return id[:3] == "old" }

func TestWhoMustMoveGoesToANodeThatStays(t *testing.T) {
	members, owners, loads := spread(512, 6, 4)
	// One of the old ones goes, and a new one has just come.
	members = slices.Delete(members, 0, 1)
	members = append(members, placement.Member{ID: "new-10", Weight: 1})
	answer := placement.Assign(owners, loads, members)
	moved := 0
	for i := range owners {
		if answer[i] == owners[i] {
			continue
		}
		moved++
		if old(answer[i]) {
			t.Errorf("shard %d moves from %s to %s, which the rollout will replace: its clients move twice", i, owners[i], answer[i])
		}
	}
	if moved == 0 {
		t.Error("nothing moved though a node left")
	}
}

func TestHeatLeavesNothingOnANodeThatWillBeReplaced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, owners, loads := spread(256, rapid.IntRange(1, 8).Draw(t, "old"), rapid.IntRange(1, 8).Draw(t, "new"))
		for range rapid.IntRange(1, 40).Draw(t, "hot") {
			loads[rapid.IntRange(0, len(loads)-1).Draw(t, "shard")] = rapid.Float64Range(0, 900).Draw(t, "load")
		}
		for i, to := range placement.Assign(owners, loads, members) {
			if to != owners[i] && old(to) {
				t.Fatalf("shard %d moves from %s to %s for heat", i, owners[i], to)
			}
		}
	})
}

func TestOldNodesThatHaveTheRoomStillTakeOrphans(t *testing.T) {
	members, owners, loads := spread(512, 9, 1)
	// Three old ones go at once: the one new node cannot take it all.
	gone := members[:3]
	answer := placement.Assign(owners, loads, members[3:])
	load := map[fleet.NodeID]float64{}
	for i, to := range answer {
		load[to] += loads[i]
	}
	if most := 1.1 * 51200 / 7; load["new-09"] > most {
		t.Errorf("the new node carries %.0f, more than %.0f: a rollout must not bury it under what %d old ones leave", load["new-09"], most, len(gone))
	}
}

// Where all nodes are of one age, age changes nothing.
func TestAgeAloneMovesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, owners, loads := spread(128, 0, rapid.IntRange(1, 9).Draw(t, "nodes"))
		for i := range loads {
			loads[i] = rapid.Float64Range(0, 500).Draw(t, "load")
		}
		want := placement.Assign(owners, loads, members)
		for i := range members {
			members[i].Old = true
		}
		if got := placement.Assign(owners, loads, members); !slices.Equal(got, want) {
			t.Fatal("a fleet of old nodes alone is placed otherwise than one of new nodes")
		}
	})
}
