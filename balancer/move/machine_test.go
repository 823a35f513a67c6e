package move

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

// machine is a fleet whose nodes come and go at random, under a leader that steps its table.
type machine struct {
	table *shard.Table
	nodes map[fleet.NodeID]*machineNode
	loads []float64
	fence uint64
	born  int
	waits Waits
	now   time.Time
}

type machineNode struct {
	state  fleet.State
	dead   bool
	silent bool // the leader has no heartbeat of it
	stale  bool // the leader has only an old one
	stuck  bool // it never gets ready for anything
	weight float64
	warm   map[shard.ID]bool
}

const machineShards = 24

// TestTheTableSurvivesWhateverHappensToItsNodes runs random lives of nodes and leaders; see check and stop
// for what must hold after each step and once everything is quiet.
func TestTheTableSurvivesWhateverHappensToItsNodes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{
			table: New(testFleet(), machineShards), nodes: map[fleet.NodeID]*machineNode{},
			loads: make([]float64, machineShards), fence: 1,
		}
		t.Repeat(map[string]func(*rapid.T){
			"join":   m.join,
			"warm":   m.warm,
			"serve":  func(t *rapid.T) { m.become(t, fleet.Serving, fleet.Starting) },
			"leave":  func(t *rapid.T) { m.become(t, fleet.Leaving, fleet.Serving, fleet.Starting) },
			"return": func(t *rapid.T) { m.become(t, fleet.Serving, fleet.Leaving) },
			"drain":  func(t *rapid.T) { m.become(t, fleet.Draining, fleet.Serving, fleet.Leaving) },
			"finish": func(t *rapid.T) { m.become(t, fleet.Gone, fleet.Draining) },
			"die": func(t *rapid.T) {
				if n := m.pick(t); n != nil {
					n.dead = true
				}
			},
			"next owner dies": func(*rapid.T) {
				for _, row := range m.table.Rows {
					if n := m.nodes[row.Next]; n != nil {
						n.dead = true
						return
					}
				}
			},
			"silence": func(t *rapid.T) {
				if n := m.pick(t); n != nil {
					n.silent = !n.silent
				}
			},
			"lag": func(t *rapid.T) {
				if n := m.pick(t); n != nil {
					n.stale = !n.stale
				}
			},
			"wait":           func(*rapid.T) { m.now = m.now.Add(Patience / 2) },
			"forget":         m.forget,
			"load":           m.load,
			"step":           m.step,
			"step twice":     func(t *rapid.T) { m.step(t); m.step(t) },
			"leader changes": m.restart,
		})
		m.stop(t)
	})
}

func (m *machine) join(t *rapid.T) {
	if len(m.nodes) >= 6 {
		return
	}
	m.born++
	m.nodes[nodeName(m.born)] = &machineNode{
		state: fleet.Starting, stuck: rapid.IntRange(0, 2).Draw(t, "stuck") == 0, weight: rapid.Float64Range(0.3, 3).Draw(t, "weight"), warm: map[shard.ID]bool{},
	}
}

// pick draws a node, nil when there is none.
func (m *machine) pick(t *rapid.T) *machineNode {
	if len(m.nodes) == 0 {
		return nil
	}
	return m.nodes[rapid.SampledFrom(slices.Sorted(maps.Keys(m.nodes))).Draw(t, "node")]
}

func (m *machine) become(t *rapid.T, to fleet.State, from ...fleet.State) {
	n := m.pick(t)
	if n != nil && !n.dead && slices.Contains(from, n.state) {
		n.state = to
	}
}

func (m *machine) warm(t *rapid.T) {
	for id, row := range m.table.Rows {
		if n := m.nodes[row.Next]; n != nil && !n.stuck && rapid.Bool().Draw(t, "ready") {
			n.warm[shard.ID(id)] = true
		}
	}
}

// forget drops the nodes that the leader need not know any more.
func (m *machine) forget(*rapid.T) {
	for id, n := range m.nodes {
		if _, told := m.table.Nodes[id]; !told && (n.dead || n.state == fleet.Gone) {
			delete(m.nodes, id)
		}
	}
}

func (m *machine) load(t *rapid.T) {
	m.loads[rapid.IntRange(0, machineShards-1).Draw(t, "shard")] = rapid.Float64Range(0, 5000).Draw(t, "load")
}

// restart lets a new leader read the stored table.
func (m *machine) restart(t *rapid.T) {
	body, err := m.table.Encode()
	if err != nil {
		t.Fatalf("the table cannot be stored: %v", err)
	}
	if m.table, err = shard.Decode(body); err != nil {
		t.Fatalf("the next leader cannot read the table: %v", err)
	}
	m.fence++
	m.waits = Waits{}
}

func (m *machine) input() Input {
	in := Input{Loads: m.loads, Fence: m.fence, Slow: m.waits.Pass(m.table, m.now, time.Hour)}
	for _, id := range slices.Sorted(maps.Keys(m.nodes)) {
		n := m.nodes[id]
		if n.silent && !n.dead {
			continue
		}
		in.Members = append(in.Members, Member{
			ID: id, URL: "ws://" + string(id), State: n.state, Dead: n.dead, Stale: n.stale, Weight: n.weight,
			Ready: func(s shard.ID) bool { return n.warm[s] },
		})
	}
	return in
}

func (m *machine) step(t *rapid.T) {
	in, before := m.input(), m.table
	kept := before.Clone()
	after, changes := Step(before, in)
	if diff := cmp.Diff(kept, before); diff != "" {
		t.Fatalf("Step changed the table that others read:\n%s", diff)
	}
	m.table = after
	m.waits.Note(changes)
	m.check(t, in, before, after, changes)
	if again, _ := Step(before, in); !cmp.Equal(again, after) {
		t.Fatal("the same step from the same table differs: two leaders would fight")
	}
}

func (m *machine) check(t *rapid.T, in Input, before, after *shard.Table, changes []Change) {
	if after != before && (after.Version != before.Version+1 || after.Fence != in.Fence) {
		t.Fatalf("version %d became %d: nodes would not take the table", before.Version, after.Version)
	}
	if after == before && len(changes) > 0 {
		t.Fatalf("changes without a new version: %+v", changes)
	}
	members := map[fleet.NodeID]*Member{}
	for i := range in.Members {
		members[in.Members[i].ID] = &in.Members[i]
	}
	anybody := slices.ContainsFunc(in.Members, func(m Member) bool { return m.eligible() })
	heard := slices.ContainsFunc(in.Members, func(m Member) bool { return m.eligible() && !m.Stale })
	for i := range after.Rows {
		id, was, is := shard.ID(i), before.Rows[i], after.Rows[i]
		owner, next := members[is.Owner], members[is.Next]
		changed := was.Owner != is.Owner || was.Next != is.Next
		switch {
		case changed != (is.Version == after.Version && after != before):
			t.Fatalf("shard %d: %+v became %+v at version %d", id, was, is, after.Version)
		case is.Owner == "" && (was.Owner != "" || anybody):
			t.Fatalf("shard %d has no owner", id)
		case anybody && owner != nil && !owner.alive():
			t.Fatalf("shard %d stays with %s, which is dead, though others live", id, is.Owner)
		case is.Next != "" && (next == nil || !next.eligible() || is.Next == is.Owner):
			t.Fatalf("shard %d moves to %q, which cannot take it", id, is.Next)
		case heard && was.Owner != is.Owner && owner.Stale:
			t.Fatalf("shard %d went to %s, which is silent and may not see the table, though others are heard", id, is.Owner)
		case heard && was.Next != is.Next && next != nil && next.Stale:
			t.Fatalf("shard %d is to move to %s, which is silent, though others are heard", id, is.Next)
		case was.Next != "" && was.Next == is.Next && slices.Contains(in.Slow[id], is.Next) && spare(in, id, owner):
			t.Fatalf("shard %d waits on for %s, which never gets ready, though another can take over", id, is.Next)
		case was.Owner != is.Owner && !owner.ready(id) && !lost(members, was.Owner):
			t.Fatalf("shard %d went from %s, which lives, to %s, which is not ready", id, was.Owner, is.Owner)
		}
		if _, told := after.Nodes[is.Owner]; is.Owner != "" && !told {
			t.Fatalf("shard %d has owner %s, of which the table does not tell: clients have no address", id, is.Owner)
		}
	}
	replay(t, before, after, changes)
}

// spare tells whether a shard can do without a slow next owner.
func spare(in Input, id shard.ID, owner *Member) bool {
	return owner != nil && owner.eligible() || slices.ContainsFunc(in.Members, func(m Member) bool {
		return m.eligible() && !m.Stale && !slices.Contains(in.Slow[id], m.ID)
	})
}

func lost(members map[fleet.NodeID]*Member, owner fleet.NodeID) bool {
	m := members[owner]
	return owner == "" || m != nil && !m.alive()
}

// replay checks that the changes tell the whole story.
func replay(t *rapid.T, before, after *shard.Table, changes []Change) {
	rows := slices.Clone(before.Rows)
	for _, c := range changes {
		row := &rows[c.Shard]
		switch c.Kind {
		case Assign:
			row.Owner, row.Next = c.To, ""
		case Flip:
			if row.Next != c.To || row.Owner != c.From {
				t.Fatalf("%+v does not fit %+v", c, *row)
			}
			row.Owner, row.Next = c.To, ""
		case Next, Redirect:
			row.Next = c.To
		case Cancel:
			row.Next = ""
		}
	}
	for i := range rows {
		if rows[i].Owner != after.Rows[i].Owner || rows[i].Next != after.Rows[i].Next {
			t.Fatalf("shard %d: the changes tell %+v, the table %+v", i, rows[i], after.Rows[i])
		}
	}
}

// stop lets everything that is under way finish: then no move may be left, and nodes that want to go must
// be free to.
func (m *machine) stop(t *rapid.T) {
	able, stuck := false, false
	for _, n := range m.nodes {
		n.silent, n.stale = false, false
		if n.state == fleet.Starting {
			n.state = fleet.Serving
		}
		here := !n.dead && n.state == fleet.Serving
		able, stuck = able || here && !n.stuck, stuck || here && n.stuck
	}
	const rounds = 20
	for round := 0; ; round++ {
		before := m.table
		for id, row := range m.table.Rows {
			if n := m.nodes[row.Next]; n != nil && !n.stuck {
				n.warm[shard.ID(id)] = true
			}
		}
		m.now = m.now.Add(Patience / 2)
		m.step(t)
		if stuck && round == rounds || !stuck && m.table == before {
			break
		}
		if round == rounds {
			t.Fatalf("the table still changes after %d steps in which no node did: clients would move for ever", rounds)
		}
	}
	for id, row := range m.table.Rows {
		n := m.nodes[row.Owner]
		if row.Next != "" && !stuck {
			t.Fatalf("shard %d never arrives at %s", id, row.Next)
		}
		if able && (n == nil || n.dead || n.state != fleet.Serving) {
			t.Fatalf("shard %d stays with %s, which wants to go: its pod could not stop without cutting clients", id, row.Owner)
		}
	}
}
