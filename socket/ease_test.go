package socket

import (
	"math"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/usage"
)

// eased is a mover of node a, on which clients stand whose shards node b owns by now.
func eased(longest time.Duration, clients int) (*mover, *shard.Table) {
	n := &node{id: "a", residents: newResidents()}
	n.o.MoveLongest = longest
	table := &shard.Table{
		Rows:  []shard.Row{{Owner: "b"}, {Owner: "b"}},
		Nodes: map[fleet.NodeID]shard.Node{"a": {State: fleet.Serving}, "b": {State: fleet.Serving}},
	}
	for i := range clients {
		n.residents.add(&resident{node: n, client: string(rune('a' + i)), shard: shard.ID(i % len(table.Rows))})
	}
	return &mover{node: n}, table
}

// look is what a step of the mover would find and allow.
func look(m *mover, t *shard.Table, now time.Time, since time.Duration) (ready int, most float64) {
	found := m.survey(t, now, false)
	most = m.ease(t, &found, now, since)
	return len(found.ready), most
}

func TestWhoGoesWhenAnotherNodeHasTheShard(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reading *usage.Reading
		state   fleet.State
		longest time.Duration
		ready   int
		most    float64
	}{
		"a cool node sends nobody":                       {&usage.Reading{CPU: 0.5, Memory: 0.5}, fleet.Serving, time.Hour, 0, 0},
		"a hot node sends all":                           {&usage.Reading{CPU: 0.95, Memory: 0.5}, fleet.Serving, time.Hour, 10, math.Inf(1)},
		"a node that is full sends all":                  {&usage.Reading{CPU: 0.5, Memory: 0.95}, fleet.Serving, time.Hour, 10, math.Inf(1)},
		"a cool node that is nominated sends all":        {&usage.Reading{CPU: 0.5}, fleet.Leaving, time.Hour, 10, math.Inf(1)},
		"a node that cannot measure itself sends all":    {nil, fleet.Serving, time.Hour, 10, math.Inf(1)},
		"a node that the table does not know sends all":  {&usage.Reading{CPU: 0.5}, fleet.Gone, time.Hour, 10, math.Inf(1)},
		"where nobody may stay all go from a cool node":  {&usage.Reading{CPU: 0.5}, fleet.Serving, 0, 10, math.Inf(1)},
		"a node that is barely warm sends a few a while": {&usage.Reading{CPU: 0.84}, fleet.Serving, time.Hour, 10, 10.0 / 240},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, table := eased(tt.longest, 10)
			m.node.reading.Store(tt.reading)
			table.Nodes["a"] = shard.Node{State: tt.state}
			if ready, most := look(m, table, time.Unix(1000, 0), 0); ready != tt.ready || math.Abs(most-tt.most) > 1e-9 {
				t.Errorf("%d may go at %v a second, want %d at %v", ready, most, tt.ready, tt.most)
			}
		})
	}
}

func TestNobodyStaysForeverOnACoolNode(t *testing.T) {
	t.Parallel()
	m, table := eased(time.Hour, 10)
	m.node.reading.Store(&usage.Reading{CPU: 0.5})
	began := time.Unix(1000, 0)
	table.Rows[1].Owner = "a"
	look(m, table, began, 0)
	table.Rows[1].Owner = "b" // the second shard leaves later
	look(m, table, began.Add(30*time.Minute), time.Second)
	if ready, most := look(m, table, began.Add(time.Hour), time.Second); ready != 5 || most != 1 {
		t.Errorf("after an hour %d may go at %v a second, want the 5 of the shard that left then, one a second", ready, most)
	}
	table.Rows[0].Owner = "a" // it comes home: its clients are at their owner's again
	look(m, table, began.Add(61*time.Minute), time.Second)
	table.Rows[0].Owner = "b"
	if ready, _ := look(m, table, began.Add(62*time.Minute), time.Second); ready != 0 {
		t.Errorf("%d may go whose shard came home and has just left again, want none", ready)
	}
}

func TestACoolNodeServesClientsOfAShardThatAnotherOwns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.start("a", "--move-longest=1h", "--cpu-limit=1000", "--memory-limit=1Ti"), w.start("b")
	w.own(a)
	ada, bob := connect(t, a.url(), "ada", nil), connect(t, a.url(), "bob", nil)
	eventually(t, "the node knows how busy it is", func() bool { return a.reading.Load() != nil })
	w.write(func(row *shard.Row) { row.Next = b.id })
	w.ready(b)
	w.write(func(row *shard.Row) { row.Owner, row.Next = b.id, "" })
	w.seen(a)
	w.seen(b)
	// A newcomer goes to the owner; those who stay and the newcomer reach each other, in both directions.
	eve := connect(t, b.url(), "eve", nil)
	for _, m := range []struct {
		from, to *peer
		id       string
	}{{ada, bob, "m1"}, {eve, bob, "m2"}, {bob, eve, "m3"}} {
		m.from.send(m.to.id, m.id)
		m.to.receive(m.from.id, m.id)
	}
	ada.stays()
	bob.stays()
	// A drain asks nobody for leisure.
	answers := drainBeside(t, a)
	for _, p := range []*peer{ada, bob} {
		if told := next[protocol.Drain](p); told.URL != b.url() || told.Reason != reasonDrain {
			t.Errorf("%s was told %+v, want to go to the owner since the node drains", p.id, told)
		}
		p.resume(b.url())
	}
	if s := await(t, answers); s.Left != 0 || s.Forced != 0 {
		t.Errorf("the drain's summary is %+v", s)
	}
}

func TestTheLeaderNominatesANodeWhoseClientsHadStayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.start("a", "--move-longest=1h", "--cpu-limit=1000", "--memory-limit=1Ti"), w.start("b")
	w.own(a)
	ada := connect(t, a.url(), "ada", nil)
	eventually(t, "the node knows how busy it is", func() bool { return a.reading.Load() != nil })
	w.own(b)
	w.seen(a)
	ada.stays()
	at := w.table.Nodes[a.id]
	at.State = fleet.Leaving
	w.table.Nodes[a.id] = at
	w.write(func(*shard.Row) {})
	if told := next[protocol.Drain](ada); told.URL != b.url() || told.Reason != reasonRebalance {
		t.Errorf("ada was told %+v, want to go to the owner since her node is to leave", told)
	}
}
