package decide_test

import (
	"slices"
	"testing"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

func ids(names ...fleet.NodeID) []fleet.NodeID { return names }

// toLeave is a story in which the idlest of five nodes has just been nominated.
func toLeave(t *testing.T) (*story, []load.Node) {
	t.Helper()
	all := []load.Node{serving("a", 90), serving("b", 60), serving("c", 30), serving("d", 50), serving("e", 70)}
	s := tell(t, quick())
	for range 9 {
		s.step(all)
	}
	if s.last.Desired != 4 || !slices.Equal(s.last.Victims, ids("c")) {
		t.Fatalf("desired %d, victims %v: want 4 and c, which has the least to lose", s.last.Desired, s.last.Victims)
	}
	return s, all
}

func TestANominationStaysWithItsNode(t *testing.T) {
	t.Parallel()
	s, all := toLeave(t)
	all[1].Connections = 0
	all[2].State = fleet.Leaving
	s.run(5, all)
	if !slices.Equal(s.last.Victims, ids("c")) {
		t.Fatalf("victims %v: c was told to leave, and its shards already warm up elsewhere", s.last.Victims)
	}
}

func TestADrainingNodeHasLeftAlready(t *testing.T) {
	t.Parallel()
	s, all := toLeave(t)
	all[2].State = fleet.Draining
	s.step(all)
	if len(s.last.Victims) != 0 || s.last.Inputs.Draining != 1 || s.last.Desired != 4 {
		t.Fatalf("desired %d, victims %v, inputs %+v: four remain and four are wanted", s.last.Desired, s.last.Victims, s.last.Inputs)
	}
}

func TestANominationIsWithdrawnWhenLoadReturns(t *testing.T) {
	t.Parallel()
	s, all := toLeave(t)
	all[2].State = fleet.Leaving
	for i := range all {
		all[i].Connections = 95
	}
	s.run(4, all)
	if s.last.Desired < 5 || len(s.last.Victims) != 0 {
		t.Fatalf("desired %d, victims %v: a node that is needed again must not leave", s.last.Desired, s.last.Victims)
	}
}

func TestTheLastNominationIsWithdrawnFirst(t *testing.T) {
	t.Parallel()
	s, all := toLeave(t)
	all = append(all, serving("x", 6), serving("y", 5))
	s.step(all)
	if !slices.Equal(s.last.Victims, ids("c", "y", "x")) {
		t.Fatalf("victims %v: want c as before, then y and x by what they would lose", s.last.Victims)
	}
	all = slices.DeleteFunc(all, func(n load.Node) bool { return n.Node == "d" })
	s.step(all)
	if !slices.Equal(s.last.Victims, ids("c", "y")) {
		t.Fatalf("victims %v: d is gone, so only two have to leave, and x was named last", s.last.Victims)
	}
}

func TestASurgeIsNotNominatedWhileItStarts(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	all := nodes(4, 85)
	s.run(12, all)
	surge := append(slices.Clone(all), in(fleet.Starting, serving("surge", 0)))
	surge[4].Since = start
	s.step(surge)
	if len(s.last.Victims) != 0 {
		t.Fatalf("victims %v: a rollout's new pod would be told to leave before it serves, and the rollout would never end", s.last.Victims)
	}
}

func TestADeadNodeCondemnsNoOther(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	all := nodes(8, 85)
	s.run(12, all)
	replaced := append(slices.Clone(all), serving("replacement", 0))
	replaced[0] = stale(replaced[0])
	s.step(replaced)
	if len(s.last.Victims) != 0 {
		t.Fatalf("victims %v: one of nine is dead and about to be forgotten, so nobody is in excess", s.last.Victims)
	}
}

func TestNodesBeyondTheCountAreNominated(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	s.run(12, nodes(4, 85))
	more := append(nodes(4, 85), serving("x", 3), serving("y", 1), serving("z", 2))
	s.step(more)
	if s.last.Desired != 4 || !slices.Equal(s.last.Victims, ids("y", "z", "x")) {
		t.Fatalf("desired %d, victims %v: three nodes were added by hand and will be cut: the idlest should go", s.last.Desired, s.last.Victims)
	}
}
