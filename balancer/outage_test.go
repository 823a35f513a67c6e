package balancer

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
)

func TestRedisDownForFiveSecondsMovesNothing(t *testing.T) {
	w := newWorld(t, ids(3)...)
	leader := w.replica()
	leader.elect(100)
	w.run(10, leader)
	before, table := w.decision(), w.table()
	w.server.Close()
	for range 5 {
		w.now = w.now.Add(time.Second)
		leader.tick()
	}
	if status, body := get(t, leader.Handler(), keys.PathResolve+"?clientId=anna"); status != http.StatusOK {
		t.Errorf("resolve answers %d %s while Redis is away", status, body)
	}
	if _, body := get(t, leader.Admin(), keys.PathDecision+"?fleet=shop/chat"); !strings.Contains(body, decision.ReasonHoldNoRedis) {
		t.Errorf("decision %s, want it held", body)
	}
	// While Redis is gone most nodes seem dead to probes too, and one would be left to take their shards: nothing may come of
	// it, though everybody was silent for longer than a living node is.
	for _, id := range ids(2) {
		w.dead[adminURL(id)] = true
	}
	if err := w.server.Restart(); err != nil {
		t.Fatal(err)
	}
	w.server.SetTime(w.now)
	// The first reading finds only heartbeats from before the outage. The client may take a moment to connect again.
	for deadline := time.After(10 * time.Second); ; {
		leader.tick()
		if seen, _ := leader.views.Load(chat); seen.(*view).model.Reachable {
			break
		}
		select {
		case <-deadline:
			t.Fatal("Redis is not read again")
		case <-time.After(10 * time.Millisecond):
		}
	}
	w.run(10, leader)
	if got := w.table(); got.Version != table.Version || !cmp.Equal(got.Rows, table.Rows) {
		t.Errorf("table version %d after %d: an outage of Redis moved shards", got.Version, table.Version)
	}
	if d := w.decision(); d.Desired != before.Desired || d.Sequence != before.Sequence || d.Reason == decision.ReasonHoldNoRedis {
		t.Errorf("decision %+v after the outage, want %d as before and no longer held", d, before.Desired)
	}
}

func TestRedisThatLostItsDataGetsEverythingBack(t *testing.T) {
	w := newWorld(t, ids(3)...)
	leader, follower := w.replica(), w.replica()
	leader.elect(100)
	w.run(10, leader, follower)
	before, table := w.decision(), w.table()
	w.server.FlushAll()
	w.run(8, leader, follower)
	if got := w.table(); got == nil || got.Version < table.Version || !cmp.Equal(got.Rows, table.Rows) {
		t.Errorf("table %+v, want the one from before", got)
	}
	if d := w.decision(); d.Sequence != before.Sequence || d.Desired != before.Desired {
		t.Errorf("decision %+v, want %+v", d, before)
	}
	// Lost again, and the leader with it: the follower continues from what it heard.
	w.server.FlushAll()
	leader.resign()
	follower.elect(200)
	w.run(8, follower)
	if got := w.table(); got == nil || got.Fence != 200 || got.Version < table.Version || !cmp.Equal(got.Rows, table.Rows) {
		t.Errorf("table %+v of the new leader, want the rows from before", got)
	}
	if d := w.decision(); d.Sequence != before.Sequence || d.Desired != before.Desired || d.Fence != 200 {
		t.Errorf("decision %+v of the new leader, want %+v continued", d, before)
	}
}

func TestLeaderWithoutAnyMemoryRebuildsTheTableFromHeartbeats(t *testing.T) {
	w := newWorld(t, ids(3)...)
	leader := w.replica()
	leader.elect(100)
	w.run(10, leader)
	table := w.table()
	beats := map[fleet.NodeID]string{}
	for _, id := range ids(3) {
		beats[id] = w.server.HGet(keys.Nodes(chat), string(id))
	}
	leader.resign()
	w.server.FlushAll()
	// One node is slow to reach Redis again; a table made without it would take its shards away.
	w.nodes["chat-2"].silent = true
	stranger := w.replica()
	stranger.elect(200)
	for id, value := range beats {
		if id != "chat-2" {
			w.server.HSet(keys.Nodes(chat), string(id), value)
			if _, err := w.server.SAdd(keys.Fleets, chat.String()); err != nil {
				t.Fatal(err)
			}
		}
	}
	stranger.tick()
	if got := w.table(); got != nil {
		t.Fatalf("a table was made at once, from half of the heartbeats: %+v", got)
	}
	w.nodes["chat-2"].silent = false
	// The nodes keep the table they have; here they keep saying so.
	for range 5 {
		w.now = w.now.Add(time.Second)
		w.server.SetTime(w.now)
		for id := range beats {
			w.say(id, w.nodes[id].speak(table))
		}
		stranger.tick()
	}
	got := w.table()
	if got == nil || got.Version <= table.Version || got.Fence != 200 {
		t.Fatalf("table %+v, want one above version %d", got, table.Version)
	}
	for i, row := range got.Rows {
		if row.Owner != table.Rows[i].Owner {
			t.Errorf("shard %d went from %s to %s: its clients were moved for nothing", i, table.Rows[i].Owner, row.Owner)
		}
	}
}

func TestTableWhoseWriteIsUncertainIsWrittenAgainAsItWas(t *testing.T) {
	w := newWorld(t, ids(2)...)
	faults := &lostReplies{}
	leader := w.replica(func(d *Deps) { d.Redis.AddHook(faults) })
	leader.elect(100)
	w.run(5, leader)
	// The third node's table reaches Redis and its readers, but the leader never hears so.
	w.join("chat-2")
	w.pass()
	faults.arm(keys.Table(chat))
	leader.tick()
	if faults.lost() != 1 {
		t.Fatalf("%d replies were lost, want one", faults.lost())
	}
	stored := w.read(keys.Table(chat))
	// Meanwhile the fleet changed: the same version with other rows would split its readers.
	w.join("chat-3")
	w.pass()
	before := leader.keepers[chat].helm.unsaved
	if before == nil || before.Version != stored.Version {
		t.Fatalf("the leader does not keep the table of version %d that may be stored", stored.Version)
	}
	leader.tick()
	if got := w.read(keys.Table(chat)); got.Version != stored.Version+1 {
		t.Errorf("version %d after %d, want the next one", got.Version, stored.Version)
	}
	feed, _, _ := leader.tables.Latest(chat)
	if !cmp.Equal(feed.Rows, w.table().Rows) {
		t.Error("a reader of the first write disagrees with Redis")
	}
}
