package balancer

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/internal/beat"
)

func TestNewcomerThatIsHeardFirstDoesNotGetTheWholeFleet(t *testing.T) {
	w := newWorld(t, ids(3)...)
	first := w.replica()
	first.elect(100)
	w.run(10, first)
	table := w.table()
	first.resign()
	w.server.FlushAll()
	// Redis is empty, and the first to be heard again is a node that has never seen a table.
	stranger := w.replica()
	stranger.elect(200)
	newcomer := w.join("chat-9")
	w.now = w.now.Add(time.Second)
	w.server.SetTime(w.now)
	w.say("chat-9", newcomer.speak(nil))
	stranger.tick()
	if got := w.table(); got != nil {
		t.Fatalf("a table was made at once, version %d: all shards move to one newcomer", got.Version)
	}
	for range 5 {
		w.now = w.now.Add(time.Second)
		w.server.SetTime(w.now)
		for _, id := range ids(3) {
			w.say(id, w.nodes[id].speak(table))
		}
		w.say("chat-9", newcomer.speak(nil))
		stranger.tick()
	}
	got := w.table()
	if got == nil || got.Version <= table.Version {
		t.Fatalf("table %+v, want one above version %d", got, table.Version)
	}
	for i, row := range got.Rows {
		if row.Owner != table.Rows[i].Owner {
			t.Errorf("shard %d went from %s to %s: its clients were moved for nothing", i, table.Rows[i].Owner, row.Owner)
		}
	}
}

func TestSilentNodeIsGivenNoShardsOfADeadOne(t *testing.T) {
	w := newWorld(t, ids(3)...)
	leader := w.replica()
	leader.elect(100)
	w.run(10, leader)
	before, _ := owned(w.table())
	// chat-2 is cut off from Redis and answers its probe; chat-1 dies.
	w.nodes["chat-2"].silent = true
	w.kill("chat-1")
	w.run(6, leader)
	owners, _ := owned(w.table())
	if owners["chat-1"] != 0 || owners["chat-2"] != before["chat-2"] || owners["chat-0"] != before["chat-0"]+before["chat-1"] {
		t.Errorf("owners %v after %v: chat-2 does not see the table, so clients of what it is given find nobody", owners, before)
	}
}

func TestFreshLeaderPlansNoMovesToNodesThatAreLongDead(t *testing.T) {
	w := newWorld(t, ids(2)...)
	first := w.replica()
	first.elect(100)
	w.run(10, first)
	first.resign()
	table := w.table()
	// While nobody leads a node comes and dies; its heartbeat stays in Redis.
	if _, err := beat.Send(t.Context(), w.client, w.join("chat-9").speak(nil)); err != nil {
		t.Fatal(err)
	}
	w.kill("chat-9")
	w.run(10)
	next := w.replica()
	next.elect(200)
	for range 5 {
		w.run(1, next)
		if got := w.table(); !cmp.Equal(got.Rows, table.Rows) {
			_, moving := owned(got)
			t.Fatalf("%d shards move to a node that died long ago", moving)
		}
	}
}

func TestMoveToANodeThatNeverGetsReadyEnds(t *testing.T) {
	w := newWorld(t, ids(2)...)
	leader := w.replica()
	leader.elect(100)
	w.run(10, leader)
	// chat-9 sends heartbeats but cannot read the log.
	w.join("chat-9").silent = true
	mute := w.nodes["chat-9"]
	wait := func(seconds int) {
		for range seconds {
			w.pass()
			w.say("chat-9", mute.speak(nil))
			leader.tick()
		}
	}
	wait(5)
	begun := w.table()
	if _, moving := owned(begun); moving == 0 {
		t.Fatal("the newcomer is to get nothing: the test shows nothing")
	}
	wait(30)
	for i, row := range w.table().Rows {
		if row.Next == "chat-9" && begun.Rows[i].Next == "chat-9" {
			t.Errorf("shard %d waits for chat-9 for ever", i)
		}
	}
}
