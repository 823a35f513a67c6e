package balancer

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/keys"
)

func TestFirstDecisionWaitsUntilEveryNodeHadTheTimeToSpeak(t *testing.T) {
	w := newWorld(t, ids(10)...)
	for _, n := range w.nodes {
		n.connections, n.silent = 900, true
	}
	// Redis is empty and nobody has decided before; two of ten nodes are quicker than the others to reach it.
	w.nodes["chat-0"].silent, w.nodes["chat-1"].silent = false, false
	leader := w.replica()
	leader.elect(100)
	w.run(2, leader)
	if w.read(keys.Decision(chat)).Found {
		t.Fatalf("%d nodes were decided from two of ten heartbeats: KEDA would take eight nodes away", w.decision().Desired)
	}
	if status, body := get(t, leader.Admin(), keys.PathDecision+"?fleet=shop/chat"); status != 404 {
		t.Errorf("the decision is served as %d %s before there is one", status, body)
	}
	for _, n := range w.nodes {
		n.silent = false
	}
	w.run(3, leader)
	if d := w.decision(); d.Desired < 10 || d.Reason != decision.ReasonFirst || d.Sequence != 1 {
		t.Errorf("decision %+v, want the first, for the ten nodes that run", d)
	}
}

func TestDecisionThatRanOutLongAgoIsNotServedAnew(t *testing.T) {
	w := newWorld(t, ids(2)...)
	first := w.replica()
	first.elect(100)
	for _, n := range w.nodes {
		n.connections = 8000
	}
	w.run(20, first)
	before := w.decision()
	if before.Desired < 16 {
		t.Fatalf("16000 clients at 1000 a pod: %d nodes (%s)", before.Desired, before.Note)
	}
	first.resign()
	// Ten hours without a balancer: the load went, and KEDA's fallback and people have looked after the fleet.
	w.now = w.now.Add(10 * time.Hour)
	for _, n := range w.nodes {
		n.connections = 10
	}
	w.join("chat-2")
	next := w.replica()
	next.elect(200)
	w.run(2, next)
	if d := w.decision(); !d.ExpiresAt.Equal(before.ExpiresAt) {
		t.Fatalf("%d nodes until %v, an answer from ten hours ago: KEDA would start them all", d.Desired, d.ExpiresAt)
	}
	w.run(3, next)
	d := w.decision()
	if d.Desired != 3 || d.Reason != decision.ReasonFirst || d.Expired(w.now) {
		t.Errorf("decision %+v, want the three nodes that run", d)
	}
	if d.Sequence != before.Sequence+1 {
		t.Errorf("sequence %d after %d: readers rely on it to go on", d.Sequence, before.Sequence)
	}
}
