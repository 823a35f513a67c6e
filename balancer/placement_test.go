package balancer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/metric"
	"github.com/tidegate/tidegate/internal/shard"
)

// busy makes a node use what its shards cost: each has so many clients, and some get messages. Slow is how much more than on
// others a client costs it.
func busy(clients int, messages map[shard.ID]float64, slow float64) func(*load.Heartbeat) {
	return func(h *load.Heartbeat) {
		h.Connections, h.MessagesPerSecond = 0, 0
		for i := range h.Shards {
			s := &h.Shards[i]
			s.Connections, s.MessagesPerSecond = clients, messages[s.ID]
			h.Connections += clients
			h.MessagesPerSecond += s.MessagesPerSecond
		}
		h.CPU = min(1, 0.02+slow*(2e-4*float64(h.Connections)+1e-3*h.MessagesPerSecond))
		h.Memory = 0.1
	}
}

// fleetOf is a world of so many busy nodes under a leader that has placed its shards.
func fleetOf(t *testing.T, nodes, clients int, change ...func(*Deps)) (*world, *replica) {
	t.Helper()
	w := newWorld(t, ids(nodes)...)
	w.policy.MinReplicas = nodes
	for _, n := range w.nodes {
		n.shape = busy(clients, nil, 1)
	}
	leader := w.replica(change...)
	leader.elect(100)
	w.run(40, leader)
	return w, leader
}

func TestAShardTooHeavyForANodeIsAloneAndReportedAndAddsNoPods(t *testing.T) {
	c := &town{}
	c.settle(ids(4)...)
	w, leader := fleetOf(t, 4, 40, c.lives)
	before := w.decision().Desired
	w.policy.Placement.HeatRest = 20 * time.Second
	const heavy = shard.ID(5)
	for _, n := range w.nodes {
		n.shape = busy(40, map[shard.ID]float64{heavy: 1200}, 1)
	}
	w.run(100, leader)
	table := w.table()
	alone := table.Rows[heavy].Owner
	if owners, _ := owned(table); owners[alone] != 1 {
		t.Errorf("owners %v: the clients of %d other shards suffer on the node of the heavy one", owners, owners[alone]-1)
	}
	if d := w.decision(); d.Desired != before {
		t.Errorf("desired %d became %d: more nodes cannot carry a part of a shard (%s)", before, d.Desired, d.Note)
	}
	if told := c.of(eventHeavy); len(told) != 1 || !strings.Contains(told[0], "[5]") || !strings.Contains(told[0], "more client ids") {
		t.Errorf("told %q, want once which shard it is and what to do", told)
	}
	if got := leader.metric(fmt.Sprintf(`%s{fleet=%q}`, metric.BalancerHeavyShards, chat)); got != "1" {
		t.Errorf("the metric says %q heavy shards", got)
	}
}

func TestAHotNodeGivesShardsAwayAndRaisesNoCount(t *testing.T) {
	w, leader := fleetOf(t, 4, 320)
	before := w.decision().Desired
	w.nodes["chat-2"].shape = busy(320, nil, 1.9)
	had, _ := owned(w.table())
	for range 120 {
		w.run(1, leader)
		if got := w.decision().Desired; got > before {
			t.Fatalf("desired %d became %d: %s", before, got, w.decision().Note)
		}
	}
	owners, _ := owned(w.table())
	if owners["chat-2"] >= had["chat-2"] {
		t.Errorf("owners %v became %v: the hot node keeps all its clients", had, owners)
	}
	reading := w.nodes["chat-2"].speak(w.table())
	if reading.CPU > 0.87 {
		t.Errorf("the hot node is at %.2f CPU after two minutes: %v", reading.CPU, owners)
	}
}

func TestNodesAreToldWhatTheyCanCarryOnceThatIsLearned(t *testing.T) {
	w, leader := fleetOf(t, 3, 60)
	limit := func(id fleet.NodeID) shard.Limit { return w.table().Nodes[id].Limit }
	if got := limit("chat-0"); got != (shard.Limit{}) {
		t.Errorf("limit %+v though nothing is learned yet: the node's own limits are better", got)
	}
	w.policy.Learn.CapacityTeaching = time.Minute
	for i := range 200 {
		for _, n := range w.nodes {
			n.shape = busy(300+i%60, nil, 1)
		}
		w.run(1, leader)
	}
	if !w.decision().Working.Capacity.LearnedCPU {
		t.Fatal("the capacity is not learned: the story is not told")
	}
	for _, id := range ids(3) {
		// From 0.02 to 0.88 at 0.0002 a client.
		if got := limit(id); got.Sessions < 3800 || got.Sessions > 4600 {
			t.Errorf("%s may hold %d sessions: it can carry 4,300", id, got.Sessions)
		}
	}
}

func TestAShadowTellsNoNodeWhatToTake(t *testing.T) {
	w, leader := fleetOf(t, 3, 300)
	w.policy.Learn.CapacityTeaching = time.Minute
	teach := func(seconds int) {
		for i := range seconds {
			for _, n := range w.nodes {
				n.shape = busy(300+i%60, nil, 1)
			}
			w.run(1, leader)
		}
	}
	teach(200)
	if got := w.table().Nodes["chat-0"].Limit; got.Sessions == 0 {
		t.Fatalf("limit %+v: the story is not told", got)
	}
	w.policy.Mode = policy.Shadow
	teach(20)
	for id, n := range w.table().Nodes {
		if n.Limit != (shard.Limit{}) {
			t.Errorf("%s is told %+v by a leader that changes nothing", id, n.Limit)
		}
	}
}
