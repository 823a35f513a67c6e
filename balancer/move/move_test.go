package move

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

func TestTheFirstNodeOwnsAllAtOnceThoughItStarts(t *testing.T) {
	t.Parallel()
	first := with(serving("a")[0], func(m *Member) { m.State = fleet.Starting })
	table, changes := Step(New(testFleet(), 64), Input{Members: []Member{first}, Fence: 7})
	if got := count(table, owner)["a"]; got != 64 {
		t.Errorf("the only node owns %d of 64 shards: clients of the others cannot connect", got)
	}
	if table.Version != 1 || table.Fence != 7 {
		t.Errorf("version %d, fence %d: want 1 and 7", table.Version, table.Fence)
	}
	if len(changes) != 64 || changes[0] != (Change{Shard: 0, Kind: Assign, To: "a", Reason: ReasonNoOwner}) {
		t.Errorf("%d changes, the first %+v", len(changes), changes[0])
	}
}

func TestNothingToDoReturnsTheSameTable(t *testing.T) {
	t.Parallel()
	list := serving("a", "b", "c")
	table := owned(t, 64, list)
	next, changes := Step(table, Input{Members: list, Fence: 9})
	if next != table || changes != nil {
		t.Errorf("a step without cause made version %d and %d changes: every node would act on it", next.Version, len(changes))
	}
}

func TestANewcomerWarmsUpBeforeItOwns(t *testing.T) {
	t.Parallel()
	list := serving("a", "b")
	table := owned(t, 64, list)
	list = append(list, with(serving("c")[0], func(m *Member) { m.State = fleet.Starting }))
	begun, changes := Step(table, Input{Members: list, Fence: 7})
	if got := count(begun, owner)["c"]; got != 0 {
		t.Fatalf("the newcomer owns %d shards that it has not read", got)
	}
	nexts := count(begun, nextOwner)["c"]
	if nexts < 19 || nexts > 22 {
		t.Errorf("the newcomer is next owner of %d shards: its share of 64 is 21", nexts)
	}
	for _, c := range changes {
		if c.Kind != Next || c.Reason != ReasonNewcomer || c.To != "c" {
			t.Errorf("change %+v: want a next for the newcomer", c)
		}
	}

	var warm shard.ID
	for id, row := range begun.Rows {
		if row.Next == "c" {
			warm = shard.ID(id)
		}
	}
	list[2].Ready = func(id shard.ID) bool { return id == warm }
	flipped, changes := Step(begun, Input{Members: list, Fence: 7})
	want := []Change{{Shard: warm, Kind: Flip, From: begun.Rows[warm].Owner, To: "c", Reason: ReasonReady}}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Errorf("one ready shard (-want +got):\n%s", diff)
	}
	if row := flipped.Rows[warm]; row != (shard.Row{Owner: "c", Version: flipped.Version}) {
		t.Errorf("the flipped row is %+v", row)
	}
	if begun.Rows[warm].Owner == "c" {
		t.Error("Step changed the table it was given: its readers would see half a step")
	}
}

func TestADeadOwnersShardsFlipToTheirNextOrAreAssignedAtOnce(t *testing.T) {
	t.Parallel()
	list := serving("a", "b")
	table := owned(t, 64, list)
	list = append(list, serving("c")...)
	table, _ = Step(table, Input{Members: list, Fence: 7})
	before := table
	list[0].Dead = true
	table, changes := Step(table, Input{Members: list, Fence: 7})
	if got := count(table, owner)["a"]; got != 0 {
		t.Errorf("the dead node still owns %d shards: their clients wait for nobody", got)
	}
	for _, c := range changes {
		row := before.Rows[c.Shard]
		switch {
		case c.Kind == Flip && (row.Owner != "a" || row.Next != "c" || c.Reason != ReasonOwnerDead):
			t.Errorf("flip %+v of row %+v", c, row)
		case c.Kind == Assign && (row.Owner != "a" || row.Next != "" || c.Reason != ReasonOwnerDead):
			t.Errorf("assign %+v of row %+v", c, row)
		}
	}
	if _, told := table.Nodes["a"]; told {
		t.Error("the table still tells of a dead node that owns nothing")
	}
}

func TestALostNextOwnerIsReplaced(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func([]Member) []Member{
		"dead":     func(l []Member) []Member { l[2].Dead = true; return l },
		"gone":     func(l []Member) []Member { l[2].State = fleet.Gone; return l },
		"draining": func(l []Member) []Member { l[2].State = fleet.Draining; return l },
		"leaving":  func(l []Member) []Member { l[2].State = fleet.Leaving; return l },
		"unknown":  func(l []Member) []Member { return []Member{l[0], l[1], l[3]} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := serving("a", "b", "c", "d")
			table := owned(t, 64, list[:1])
			list[0].State = fleet.Draining
			table, _ = Step(table, Input{Members: list, Fence: 7})
			had := count(table, nextOwner)["c"]
			if had == 0 {
				t.Fatal("c is next owner of nothing: the test shows nothing")
			}
			table, changes := Step(table, Input{Members: lose(list), Fence: 7})
			if got := count(table, nextOwner)["c"]; got != 0 {
				t.Errorf("c is still the next owner of %d shards: their moves never end", got)
			}
			redirects := 0
			for _, c := range changes {
				if c.Kind == Redirect && c.From == "c" && c.Reason == ReasonNextLost {
					redirects++
				}
			}
			if redirects != had {
				t.Errorf("%d of %d moves were redirected", redirects, had)
			}
		})
	}
}

func TestALostNextOwnerOfAShardThatCanStayCancelsTheMove(t *testing.T) {
	t.Parallel()
	list := serving("a", "b")
	table := owned(t, 64, list[:1])
	table, _ = Step(table, Input{Members: list, Fence: 7})
	list[1].Dead = true
	table, changes := Step(table, Input{Members: list, Fence: 7})
	if len(changes) == 0 || changes[0].Kind != Cancel || changes[0].From != "b" {
		t.Errorf("changes %+v: want cancels", changes)
	}
	if got := count(table, owner)["a"]; got != 64 || count(table, nextOwner)[""] != 64 {
		t.Errorf("a owns %d of 64 shards after its moves were cancelled", got)
	}
}

func TestADrainingNodeAloneKeepsItsRows(t *testing.T) {
	t.Parallel()
	for _, state := range []fleet.State{fleet.Leaving, fleet.Draining} {
		list := serving("a")
		table := owned(t, 64, list)
		list[0].State = state
		table, changes := Step(table, Input{Members: list, Fence: 7})
		if got := count(table, owner)["a"]; got != 64 || len(changes) != 0 {
			t.Errorf("%s alone: it owns %d of 64 shards after %d changes: its clients have nowhere else", state, got, len(changes))
		}
		if table.Nodes["a"].State != state {
			t.Errorf("the table says %s: want %s", table.Nodes["a"].State, state)
		}
	}
}

func TestOrphansGoToANominatedNodeWhenThereIsNoOther(t *testing.T) {
	t.Parallel()
	list := serving("a", "b", "c")
	table := owned(t, 64, list)
	list[0].Dead, list[1].State, list[2].State = true, fleet.Leaving, fleet.Draining
	before := count(table, owner)
	table, _ = Step(table, Input{Members: list, Fence: 7})
	after := count(table, owner)
	if after["a"] != 0 || after["b"] != before["b"]+before["a"] || after["c"] != before["c"] {
		t.Errorf("owners %v became %v: the dead node's shards belong to the nominated one, which still serves", before, after)
	}
}

func TestAnUnknownOwnerKeepsItsShards(t *testing.T) {
	t.Parallel()
	list := serving("a", "b", "c")
	table := owned(t, 64, list)
	next, changes := Step(table, Input{Members: list[:1], Fence: 7})
	if len(changes) != 0 || !cmp.Equal(count(table, owner), count(next, owner)) {
		t.Errorf("a Redis that lost two heartbeats moved %d shards of living nodes", len(changes))
	}
	if diff := cmp.Diff([]fleet.NodeID{"b", "c"}, Unknown(next, list[:1])); diff != "" {
		t.Errorf("unknown nodes (-want +got):\n%s", diff)
	}
	if got := Unknown(next, list); got != nil {
		t.Errorf("known nodes are reported as unknown: %v", got)
	}
}

func TestNoShardMovesTwiceForHeatInTenMinutes(t *testing.T) {
	t.Parallel()
	list := serving("a", "b")
	table := owned(t, 64, list)
	now := time.UnixMilli(1_700_000_000_000)
	loads := make([]float64, 64)
	for id, row := range table.Rows {
		loads[id] = 100
		if row.Owner == "a" {
			loads[id] = 200
		}
	}
	in := Input{Members: list, Loads: loads, Fence: 7, Now: now, Heated: make([]time.Time, 64)}
	in.Members[0].Ready, in.Members[1].Ready = always, always
	table, changes := Step(table, in)
	if len(changes) == 0 || changes[0].Reason != ReasonHeat {
		t.Fatalf("changes %v: want moves for heat", changes)
	}
	in.Heated = NoteHeat(in.Heated, changes, now)
	table, flips := Step(table, in)
	if len(flips) != len(changes) {
		t.Fatalf("%d of %d moves flipped", len(flips), len(changes))
	}
	// Now b is the hot one, by those very shards.
	for _, c := range changes {
		loads[c.Shard] = 2000
	}
	moved := map[shard.ID]bool{}
	for _, c := range changes {
		moved[c.Shard] = true
	}
	in.Now = now.Add(HeatRest - time.Second)
	_, again := Step(table, in)
	for _, c := range again {
		if moved[c.Shard] {
			t.Errorf("shard %d moves for heat again after %s", c.Shard, in.Now.Sub(now))
		}
	}
	in.Now = now.Add(HeatRest)
	_, later := Step(table, in)
	rested := false
	for _, c := range later {
		rested = rested || moved[c.Shard]
	}
	if !rested {
		t.Error("no shard may move for heat even after its rest")
	}
}

func TestAMoveFromAnUnknownOwnerWaitsForReadinessToo(t *testing.T) {
	t.Parallel()
	list := serving("a", "b")
	table := owned(t, 64, list[:1])
	table, begun := Step(table, Input{Members: list, Fence: 7})
	_, changes := Step(table, Input{Members: list[1:], Fence: 7})
	if len(begun) == 0 || len(changes) != 0 {
		t.Errorf("%d of %d moves flipped to a node that is not ready: the silent owner may well live", len(changes), len(begun))
	}
}

func TestAMoveUnderWayIsNotPlannedAgain(t *testing.T) {
	t.Parallel()
	list := serving("a", "b", "c")
	table := owned(t, 64, list[:1])
	table, begun := Step(table, Input{Members: list[:2], Fence: 7})
	// The shards on their way to b become the hottest of all while they warm up.
	loads := make([]float64, 64)
	for _, c := range begun {
		loads[c.Shard] = 1000
	}
	next, _ := Step(table, Input{Members: list, Loads: loads, Fence: 7})
	for _, c := range begun {
		if got := next.Rows[c.Shard].Next; got != "b" {
			t.Errorf("shard %d was on its way to b and is now on its way to %q: its warm-up was for nothing", c.Shard, got)
		}
	}
}
