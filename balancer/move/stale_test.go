package move

import (
	"testing"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

func stale(m *Member) { m.Stale = true }

func TestASilentNodeIsGivenNothingWhileAnotherIsHeard(t *testing.T) {
	t.Parallel()
	list := serving("a", "b", "c")
	table := owned(t, 64, list)
	before := count(table, owner)
	list = append(list, with(serving("d")[0], stale))
	list[0].Dead, list[1].State, list[2].Stale = true, fleet.Leaving, true
	list = append(list, serving("e")...)
	table, changes := Step(table, Input{Members: list, Fence: 7})
	owners, nexts := count(table, owner), count(table, nextOwner)
	if owners["d"]+nexts["d"]+nexts["c"] != 0 || owners["c"] != before["c"] {
		t.Errorf("owners %v, next owners %v: silent c and d may not see the table, so nobody would serve what they are given", owners, nexts)
	}
	if owners["a"] != 0 || owners["e"] != before["a"] || nexts["e"] != before["b"] {
		t.Errorf("owners %v, next owners %v: e is heard and must take what the dead a had and the leaving b has", owners, nexts)
	}
	for _, c := range changes {
		if c.From == "c" {
			t.Errorf("%+v: a silent owner keeps its shards until it is known to be dead", c)
		}
	}
}

func TestWhenAllAreSilentOrphansAreStillGivenAnOwner(t *testing.T) {
	t.Parallel()
	list := serving("a", "b", "c")
	table := owned(t, 64, list)
	before := count(table, owner)
	list[0].Dead, list[1].Stale, list[2].Stale = true, true, true
	table, changes := Step(table, Input{Members: list, Fence: 7})
	owners := count(table, owner)
	if owners["a"] != 0 || len(changes) != before["a"] {
		t.Errorf("owners %v after %d changes: only the dead node's %d shards go to those who may be back in a moment", owners, len(changes), before["a"])
	}
}

func TestOrphansGoToANominatedNodeThatIsHeardRatherThanToASilentOne(t *testing.T) {
	t.Parallel()
	list := serving("a", "b", "c")
	table := owned(t, 64, list)
	before := count(table, owner)
	list[0].Dead, list[1].State, list[2].Stale = true, fleet.Leaving, true
	table, _ = Step(table, Input{Members: list, Fence: 7})
	if owners := count(table, owner); owners["b"] != before["a"]+before["b"] || owners["c"] != before["c"] {
		t.Errorf("owners %v became %v: b leaves but serves, c may not even see the table", before, owners)
	}
}

func TestANextOwnerThatFallsSilentKeepsItsMovesButTakesOverNothing(t *testing.T) {
	t.Parallel()
	list := serving("a", "b", "c")
	table := owned(t, 64, list[:1])
	table, begun := Step(table, Input{Members: list[:2], Fence: 7})
	list[1].Stale, list[1].Ready = true, always
	next, changes := Step(table, Input{Members: list[:2], Fence: 7})
	if len(begun) == 0 || len(changes) != 0 {
		t.Fatalf("%d changes of %d moves: what a silent node last said may be long over, and silence is no death", len(changes), len(begun))
	}
	list[0].Dead = true
	next, _ = Step(next, Input{Members: list, Fence: 7})
	if owners := count(next, owner); owners["c"] != 64 {
		t.Errorf("owners %v: c is heard and must serve the dead node's clients at once", owners)
	}
}

func TestAMoveToASlowNodeEndsAndTheNodeIsNotGivenTheShardAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		state fleet.State
		kind  Kind
	}{
		"the owner can stay": {fleet.Serving, Cancel},
		"the owner leaves":   {fleet.Leaving, Redirect},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := serving("a", "b")
			table := owned(t, 64, list[:1])
			list[0].State = test.state
			table, begun := Step(table, Input{Members: list, Fence: 7})
			slow := map[shard.ID][]fleet.NodeID{}
			for _, c := range begun {
				slow[c.Shard] = []fleet.NodeID{"b"}
			}
			// Nobody else: the owner that leaves can only wait on.
			if next, _ := Step(table, Input{Members: list, Fence: 7, Slow: slow}); test.state == fleet.Leaving && next != table {
				t.Errorf("next owners %v: better a slow node than none", count(next, nextOwner))
			}
			if test.state == fleet.Leaving {
				list = append(list, serving("c")...)
			}
			table, changes := Step(table, Input{Members: list, Fence: 7, Slow: slow})
			ended := map[shard.ID]bool{}
			for _, c := range changes {
				ended[c.Shard] = ended[c.Shard] || c.Kind == test.kind && c.From == "b" && c.Reason == ReasonSlow
			}
			for _, c := range begun {
				if !ended[c.Shard] || table.Rows[c.Shard].Next == "b" {
					t.Errorf("shard %d still waits for b, which never gets ready", c.Shard)
				}
			}
		})
	}
}
