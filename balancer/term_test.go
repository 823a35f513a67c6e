package balancer

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/internal/fenced"
	"github.com/tidegate/tidegate/internal/keys"
)

func TestNextLeaderContinuesTableAndSequence(t *testing.T) {
	w := newWorld(t, ids(3)...)
	first, second := w.replica(), w.replica()
	first.elect(100)
	w.run(10, first, second)
	before, table := w.decision(), w.table()

	first.resign()
	second.elect(200)
	w.run(3, first, second)
	after := w.decision()
	if after.Fence != 200 || after.Sequence != before.Sequence || after.Desired != before.Desired {
		t.Errorf("decision %+v after %+v: a change of leaders must not look like a decision", after, before)
	}
	if !after.RefreshedAt.After(before.RefreshedAt) {
		t.Error("the new leader does not refresh the decision: it would expire")
	}
	if got := second.audit.sequences(); len(got) != 0 {
		t.Errorf("the new leader audited %v, which the old one had", got)
	}
	if got := w.table(); got.Fence != 200 || got.Version != table.Version || !cmp.Equal(got.Rows, table.Rows) {
		t.Errorf("table %d of fence %d after %d: a change of leaders moved shards", got.Version, got.Fence, table.Version)
	}
}

func TestStaleLeadersWritesAreRefusedAndEndItsTerm(t *testing.T) {
	w := newWorld(t, ids(2)...)
	old, next := w.replica(), w.replica()
	old.elect(100)
	w.run(5, old, next)
	// The old leader is stopped past its lease and does not know it: it has not ticked while the next one took over.
	next.elect(200)
	w.run(1, next)
	table, d := w.read(keys.Table(chat)), w.read(keys.Decision(chat))
	w.run(2)
	old.tick()
	if old.leads() && old.office.Load().ctx.Err() == nil {
		t.Error("the old leader goes on after a newer one wrote")
	}
	if got := w.read(keys.Table(chat)); got.Fence != 200 || got.Version != table.Version {
		t.Errorf("table of fence %d version %d, want the new leader's", got.Fence, got.Version)
	}
	if got := w.read(keys.Decision(chat)); got.Fence != 200 || got.Version != d.Version {
		t.Errorf("decision of fence %d, want the new leader's", got.Fence)
	}
	if got := old.metric("tidegate_balancer_fenced_writes_total"); got != "1" {
		t.Errorf("fenced writes %q, want 1", got)
	}
}

func TestLateElectionWithAnOlderFenceWritesNothing(t *testing.T) {
	w := newWorld(t, ids(2)...)
	good, late := w.replica(), w.replica()
	good.elect(200)
	w.run(5, good, late)
	late.elect(100)
	late.tick()
	if got := w.read(keys.Decision(chat)); got.Fence != 200 {
		t.Errorf("decision of fence %d: a term with an older token wrote", got.Fence)
	}
	if late.leads() && late.office.Load().ctx.Err() == nil {
		t.Error("the late leader goes on")
	}
}

func TestTermBelowTheFenceThatNodesActOnGivesWayToAHigherOne(t *testing.T) {
	w := newWorld(t, ids(2)...)
	leader := w.replica()
	leader.elect(900)
	w.run(5, leader)
	leader.resign()
	table := w.table()
	// Redis comes back empty and with a clock that is behind: the elector gives out a token below the one in use.
	w.server.FlushAll()
	for id, n := range w.nodes {
		w.say(id, n.speak(table))
	}
	stranger := w.replica()
	stranger.elect(500)
	stranger.tick()
	if stranger.office.Load() != nil && stranger.office.Load().ctx.Err() == nil {
		t.Error("the term goes on though every node ignores its table")
	}
	if raised, err := w.server.Get(keys.LeaderFence); err != nil || raised != "900" {
		t.Errorf("the next token is above %q (%v), want above 900", raised, err)
	}
}

func TestDifferentHeadsAreFenced(t *testing.T) {
	// A cell that somebody else wrote with a higher token stops restoration before anything is written.
	w := newWorld(t, ids(1)...)
	if err := fenced.NewCell(w.client, keys.State(chat), timeout).Write(t.Context(), 500, 1, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	r := w.replica()
	r.elect(100)
	w.run(1, r)
	if w.read(keys.Table(chat)).Found || w.read(keys.Decision(chat)).Found {
		t.Error("a leader with an older token wrote")
	}
}

func TestFenceAboveTheTermsThatIsHeardLaterEndsTheTerm(t *testing.T) {
	w := newWorld(t, ids(2)...)
	leader := w.replica()
	leader.elect(900)
	w.run(6, leader)
	leader.resign()
	table := w.table()
	// Redis comes back empty; the first to speak is a node that has not seen a table yet.
	w.server.FlushAll()
	w.say("chat-9", w.join("chat-9").speak(nil))
	stranger := w.replica()
	stranger.elect(500)
	stranger.tick()
	if !stranger.leads() || stranger.office.Load().ctx.Err() != nil {
		t.Fatal("the term ended before anybody spoke of a higher fence")
	}
	w.now = w.now.Add(time.Second)
	w.server.SetTime(w.now)
	w.say("chat-0", w.nodes["chat-0"].speak(table))
	stranger.tick()
	if stranger.leads() && stranger.office.Load().ctx.Err() == nil {
		t.Error("the term goes on though a node that acts on a higher fence ignores all it writes")
	}
	if raised, err := w.server.Get(keys.LeaderFence); err != nil || raised != "900" {
		t.Errorf("the next token is above %q (%v), want above 900", raised, err)
	}
}
