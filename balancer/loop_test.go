package balancer

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/balancer/resolve"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fenced"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
)

func TestFirstNodesGetADecisionATableAndClients(t *testing.T) {
	w := newWorld(t, ids(2)...)
	leader, follower := w.replica(), w.replica()
	leader.elect(100)
	w.run(5, leader, follower)

	d := w.decision()
	if d.Desired != 2 || d.Fence != 100 || d.Sequence != 1 || !d.RefreshedAt.After(born) {
		t.Errorf("decision %+v, want 2 nodes by the leader, on the server's clock", d)
	}
	if got := leader.audit.sequences(); !slices.Equal(got, []uint64{1}) {
		t.Errorf("audited %v, want the one decision once", got)
	}
	owners, moving := owned(w.table())
	if len(owners) != 2 || owners["chat-0"] == 0 || owners["chat-1"] == 0 || moving != 0 {
		t.Errorf("owners %v, %d moving, want every shard with one of the two nodes", owners, moving)
	}
	if marker, err := w.server.Get(keys.Marker(chat)); err != nil || marker == "" {
		t.Errorf("marker %q (%v): senders could not tell a stranger from a lost record", marker, err)
	}
	for name, r := range map[string]*replica{"leader": leader, "follower": follower} {
		status, body := get(t, r.Handler(), keys.PathResolve+"?clientId=anna")
		want, _ := resolve.Lookup(w.table(), "anna")
		var got resolve.Answer
		if err := json.Unmarshal([]byte(body), &got); status != http.StatusOK || err != nil || got != want {
			t.Errorf("%s resolves %d %s, want %+v", name, status, body, want)
		}
		status, body = get(t, r.Handler(), "/api/v1/status")
		if status != http.StatusOK || !strings.Contains(body, `"desired":2`) || !strings.Contains(body, `"chat-1"`) || !strings.Contains(body, `"leader":"a"`) {
			t.Errorf("%s's status page answers %d %s", name, status, body)
		}
		if status, _ := get(t, r.Admin(), keys.PathReady); status != http.StatusOK {
			t.Errorf("%s is not ready", name)
		}
	}
	if got := leader.metric("tidegate_balancer_leader"); got != "1" {
		t.Errorf("leader metric %q", got)
	}
	if got := follower.metric("tidegate_balancer_leader"); got != "0" {
		t.Errorf("follower's leader metric %q", got)
	}
	if follower.audit.sequences() != nil {
		t.Error("a follower decided")
	}
}

func TestLoadScalesOutThenInWithVictims(t *testing.T) {
	w := newWorld(t, ids(2)...)
	w.policy.ScaleInDelay, w.policy.ScaleInStep = 10*time.Second, 5*time.Second
	leader := w.replica()
	leader.elect(100)
	w.run(5, leader)
	for _, n := range w.nodes {
		n.connections = 2000
	}
	w.run(30, leader)
	out := w.decision()
	if out.Desired < 5 {
		t.Fatalf("4000 clients at 1000 a pod: %d nodes (%s)", out.Desired, out.Note)
	}
	for _, id := range ids(out.Desired)[2:] {
		w.join(id)
	}
	for _, n := range w.nodes {
		n.connections = 4000 / out.Desired
	}
	w.run(5, leader)
	if owners, _ := owned(w.table()); len(owners) != out.Desired {
		t.Errorf("owners %v: the newcomers got no shards", owners)
	}
	for _, n := range w.nodes {
		n.connections = 10
	}
	w.nodes["chat-1"].connections = 2
	w.run(60, leader)
	in := w.decision()
	if in.Desired >= out.Desired || len(in.Victims) == 0 || in.Victims[0] != "chat-1" {
		t.Fatalf("after the load went: %d nodes, victims %v (%s), want fewer and chat-1 first", in.Desired, in.Victims, in.Note)
	}
	if in.Sequence <= out.Sequence {
		t.Errorf("sequence %d after %d", in.Sequence, out.Sequence)
	}
	if owners, _ := owned(w.table()); owners["chat-1"] != 0 {
		t.Errorf("owners %v: a victim's shards move away from its nomination on", owners)
	}
	_, body := get(t, leader.Admin(), keys.PathVictims+"?fleet=shop/chat&count=1")
	if !strings.Contains(body, `"victims":["chat-1"]`) {
		t.Errorf("victims %s, want the nominated one", body)
	}
}

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

func TestStaleHeartbeatsHoldTheDecision(t *testing.T) {
	w := newWorld(t, ids(4)...)
	leader := w.replica()
	for _, n := range w.nodes {
		n.connections = 900
	}
	leader.elect(100)
	w.run(30, leader)
	before, table := w.decision(), w.table()
	// Two of four freeze: their health probe still answers, and what the others say alone would scale in.
	w.nodes["chat-0"].silent, w.nodes["chat-1"].silent = true, true
	w.nodes["chat-2"].connections, w.nodes["chat-3"].connections = 1, 1
	w.run(5, leader)
	d := w.decision()
	if d.Reason != decision.ReasonHoldStale || d.Desired != before.Desired || d.Sequence != before.Sequence {
		t.Errorf("decision %+v, want %d held for stale data", d, before.Desired)
	}
	if d.ExpiresAt.After(w.now.Add(w.policy.DecisionTTL)) || !d.RefreshedAt.Before(w.now.Add(-time.Second)) {
		t.Errorf("refreshed at %v, expires %v: a decision that is held must run out", d.RefreshedAt, d.ExpiresAt)
	}
	if got := w.table(); got.Version != table.Version {
		t.Error("shards moved away from nodes that answer")
	}
	if got := leader.metric(`tidegate_balancer_hold_seconds_total{fleet="shop/chat",reason="hold-stale"}`); got == "" || got == "0" {
		t.Errorf("hold seconds %q", got)
	}
}

func TestDeadNodesShardsMoveAndItIsForgotten(t *testing.T) {
	w := newWorld(t, ids(3)...)
	leader, follower := w.replica(), w.replica()
	leader.elect(100)
	w.run(10, leader, follower)
	before := w.decision()
	w.kill("chat-1")
	w.run(3, leader, follower)
	if owners, _ := owned(w.table()); owners["chat-1"] == 0 {
		t.Fatal("shards moved before three heartbeats were missed")
	}
	w.run(2, leader, follower)
	owners, _ := owned(w.table())
	if owners["chat-1"] != 0 || owners[""] != 0 || owners["chat-0"]+owners["chat-2"] != shards {
		t.Errorf("owners %v after the death was noticed, want every shard at a living node", owners)
	}
	if fields, err := w.server.HKeys(keys.Nodes(chat)); err != nil || slices.Contains(fields, "chat-1") {
		t.Errorf("Redis still holds heartbeats of %v (%v)", fields, err)
	}
	if d := w.decision(); d.Desired != before.Desired {
		t.Errorf("desired %d after %d: a death must not scale", d.Desired, before.Desired)
	}
	for name, r := range map[string]*replica{"leader": leader, "follower": follower} {
		if _, body := get(t, r.Handler(), "/api/v1/status"); strings.Contains(body, "chat-1") {
			t.Errorf("the %s's page still shows the dead node", name)
		}
	}
}

func TestRedisDownForThreeSecondsMovesNothing(t *testing.T) {
	w := newWorld(t, ids(3)...)
	leader := w.replica()
	leader.elect(100)
	w.run(10, leader)
	before, table := w.decision(), w.table()
	w.server.Close()
	for range 3 {
		w.now = w.now.Add(time.Second)
		leader.tick()
	}
	if status, body := get(t, leader.Handler(), keys.PathResolve+"?clientId=anna"); status != http.StatusOK {
		t.Errorf("resolve answers %d %s while Redis is away", status, body)
	}
	if _, body := get(t, leader.Admin(), keys.PathDecision+"?fleet=shop/chat"); !strings.Contains(body, decision.ReasonHoldNoRedis) {
		t.Errorf("decision %s, want it held", body)
	}
	// While Redis is gone the nodes seem dead to probes too: nothing may come of it.
	for _, id := range ids(3) {
		w.dead[adminURL(id)] = true
	}
	if err := w.server.Restart(); err != nil {
		t.Fatal(err)
	}
	w.server.SetTime(w.now)
	leader.tick()
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

func TestMalformedHeartbeatIsNamedAndHurtsNobodyElse(t *testing.T) {
	w := newWorld(t, ids(2)...)
	leader := w.replica()
	leader.elect(100)
	w.run(5, leader)
	w.server.HSet(keys.Nodes(chat), "chat-evil", `1 {"cpu":NaN}`)
	w.run(5, leader)
	if d := w.decision(); d.Desired != 2 || d.Reason == decision.ReasonHoldStale || d.Inputs.Serving != 2 {
		t.Errorf("decision %+v: one bad heartbeat changed it", d)
	}
	if got := leader.metric(`tidegate_balancer_bad_heartbeats_total{fleet="shop/chat"}`); got != "5" {
		t.Errorf("counted %q bad heartbeats, want 5", got)
	}
	if n := strings.Count(leader.log.String(), "chat-evil"); n != 1 {
		t.Errorf("it was named %d times, want once:\n%s", n, leader.log)
	}
	if _, err := w.server.SAdd(keys.Fleets, "no fleet"); err != nil {
		t.Fatal(err)
	}
	w.run(2, leader)
	if !strings.Contains(leader.log.String(), "no fleet") {
		t.Error("a name that is no fleet's was passed over in silence")
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

// story is a fleet that grows, loses a node and shrinks; it returns every decision.
func story(t *testing.T, w *world) []string {
	t.Helper()
	w.policy.ScaleInDelay, w.policy.ScaleInStep = 10*time.Second, 5*time.Second
	leader := w.replica()
	leader.elect(100)
	var told []string
	tell := func(seconds int) {
		for range seconds {
			w.run(1, leader)
			d := w.decision()
			told = append(told, fmt.Sprint(d.Sequence, d.Desired, d.Reason, d.LimitedBy, d.Victims, d.RefreshedAt.UnixMilli(), d.Working.Forecast))
		}
	}
	tell(5)
	for _, n := range w.nodes {
		n.connections = 2500
	}
	tell(15)
	w.kill("chat-1")
	tell(6)
	for _, n := range w.nodes {
		n.connections = 5
	}
	tell(30)
	return told
}

func TestLocalClockDoesNotCount(t *testing.T) {
	here := story(t, newWorld(t, ids(4)...))
	var there []string
	w := newWorld(t, ids(4)...)
	// In the bubble the local clock stands at the year 2000, decades from the server's and from here.
	synctest.Test(t, func(t *testing.T) {
		inside := &world{t: t, server: w.server, now: w.now, nodes: w.nodes, dead: w.dead, policy: w.policy}
		inside.client = inside.connect()
		defer inside.close()
		there = story(t, inside)
	})
	if diff := cmp.Diff(here, there); diff != "" {
		t.Errorf("the local clock changed decisions (-here +there):\n%s", diff)
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

func TestVictimsEndpoint(t *testing.T) {
	w := newWorld(t, ids(3)...)
	leader, follower := w.replica(), w.replica()
	w.nodes["chat-2"].connections = 1
	leader.elect(100)
	w.run(5, leader, follower)
	version := strconv.FormatUint(w.table().Version, 10)
	tests := map[string]struct {
		query  string
		status int
		body   string
	}{
		"the first to go":               {"?fleet=shop/chat", 200, `{"fleet":"shop/chat","victims":["chat-2"],"tableVersion":` + version + `}`},
		"two of them":                   {"?fleet=shop/chat&count=2", 200, `"victims":["chat-2","chat-0"]`},
		"more than there are":           {"?fleet=shop/chat&count=99", 200, `"victims":["chat-2","chat-0","chat-1"]`},
		"no fleet":                      {"?count=1", 400, "namespace/name"},
		"a fleet that is no id":         {"?fleet=chat", 400, "namespace/name"},
		"a fleet nobody knows":          {"?fleet=shop/other", 404, "shop/other"},
		"a count that is no number":     {"?fleet=shop/chat&count=many", 400, "many"},
		"a count of none":               {"?fleet=shop/chat&count=0", 400, "from 1"},
		"a count beyond all reason":     {"?fleet=shop/chat&count=1e9", 400, "1e9"},
		"a count that overflows an int": {"?fleet=shop/chat&count=99999999999999999999", 400, "from 1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for replica, r := range map[string]*replica{"leader": leader, "follower": follower} {
				status, body := get(t, r.Admin(), keys.PathVictims+test.query)
				if status != test.status || !strings.Contains(body, test.body) {
					t.Errorf("%s answers %d %s, want %d with %s", replica, status, body, test.status, test.body)
				}
			}
		})
	}
	if status, _ := get(t, leader.Handler(), keys.PathVictims+"?fleet=shop/chat"); status != http.StatusNotFound {
		t.Errorf("the public side answers victims with %d: strangers could read the fleet's nodes", status)
	}
	if status, body := get(t, follower.Admin(), keys.PathDecision+"?fleet=shop/chat"); status != 200 || !strings.Contains(body, `"desired":`) {
		t.Errorf("a follower's decision: %d %s", status, body)
	}
	if status, _ := get(t, leader.Admin(), keys.PathHealth); status != http.StatusOK {
		t.Error("not healthy")
	}
}

func TestReplicaIsNotReadyBeforeItReadRedis(t *testing.T) {
	w := newWorld(t)
	r := w.replica()
	if status, _ := get(t, r.Admin(), keys.PathReady); status != http.StatusServiceUnavailable {
		t.Error("ready before anything was read: clients would be told that nobody serves them")
	}
	r.tick()
	if status, _ := get(t, r.Admin(), keys.PathReady); status != http.StatusOK {
		t.Error("not ready after Redis was read")
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
