package balancer

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/balancer/resolve"
	"github.com/tidegate/tidegate/internal/decision"
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

// story is a fleet that grows, loses a node and shrinks; it returns every decision.
func story(t *testing.T, w *world) []string {
	t.Helper()
	w.policy.ScaleInDelay, w.policy.ScaleInStep = 10*time.Second, 5*time.Second
	leader := w.replica()
	leader.elect(100)
	w.run(4, leader) // nothing is decided before every node had the time to speak
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
