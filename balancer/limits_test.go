package balancer

import (
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/cluster"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
)

const refused = `the policy of ScaledObject "chat" is refused, and no good one is known: maxReplicas "lots"`

// narrow makes the rules of all fleets narrower than the fleet's own, which it returns.
func narrow(w *world) *policy.Policy {
	own := w.policy
	own.MaxReplicas = 50
	w.policy.MaxReplicas, w.policy.ScaleInDelay, w.policy.ScaleInStep = 2, time.Second, 100*time.Millisecond
	return &own
}

func TestNothingIsDecidedBeforeTheLimitsAreKnown(t *testing.T) {
	w, c := newWorld(t, ids(4)...), &town{}
	own := narrow(w)
	c.settle(ids(4)...)
	c.rule(nil, refused)
	leader := w.replica(c.lives)
	leader.elect(100)
	w.run(10, leader)
	if w.read(keys.Decision(chat)).Found {
		t.Fatalf("decided %+v by limits that may not be the fleet's", w.decision())
	}
	if owners, _ := owned(w.table()); len(owners) != 4 {
		t.Errorf("owners %v: shards need no limits", owners)
	}
	if told := c.of(eventHeld); len(told) != 1 || !strings.Contains(told[0], "maxReplicas \"lots\"") {
		t.Errorf("told %q, want once why nothing is decided", told)
	}
	if log := leader.log.String(); strings.Count(log, "nothing is decided") != 1 {
		t.Errorf("the log says %q, want once that nothing is decided", log)
	}
	c.rule(own, "")
	w.run(2, leader)
	if d := w.decision(); d.Desired != 4 {
		t.Errorf("desired %d (%s), want the 4 that run", d.Desired, d.Reason)
	}
	if told := c.of(eventRecovered); len(told) != 1 {
		t.Errorf("told %q, want once that decisions are made", told)
	}
}

// A typing error, then a restart: what a fresh process does not know it must not replace by the rules of all fleets.
func TestARefusedPolicyAndARestartCutNobody(t *testing.T) {
	w, c := newWorld(t, ids(12)...), &town{}
	own := narrow(w)
	c.settle(ids(12)...)
	c.rule(own, "")
	for _, n := range w.nodes {
		n.connections = 900
	}
	first := w.replica(c.lives)
	first.elect(100)
	w.run(10, first)
	before := w.decision()
	if before.Desired < 12 {
		t.Fatalf("desired %d (%s), want the twelve that are needed", before.Desired, before.Note)
	}
	first.resign()
	c.rule(nil, refused)
	second := w.replica(c.lives)
	second.elect(200)
	w.run(60, second)
	d := w.decision()
	if d.Desired != before.Desired || d.Sequence != before.Sequence || d.Reason != decision.ReasonHoldNoPolicy || len(d.Victims) > 0 {
		t.Fatalf("desired %d for %s, sequence %d, victims %v: twelve nodes became fewer by rules that are not the fleet's", d.Desired, d.Reason, d.Sequence, d.Victims)
	}
	if !d.ExpiresAt.Equal(before.ExpiresAt) {
		t.Errorf("expires at %v instead of %v: an answer that nobody can confirm must end", d.ExpiresAt, before.ExpiresAt)
	}
	if held := second.metric(`tidegate_balancer_hold_seconds_total{fleet="shop/chat",reason="hold-no-policy"}`); held == "" {
		t.Error("no metric says that decisions wait")
	}
	// So long after the answer ran out KEDA's fallback and people have looked after the fleet.
	w.now = w.now.Add(10 * time.Hour)
	all := append(ids(12), "hand-1", "hand-2", "hand-3", "hand-4")
	for _, id := range all[12:] {
		w.join(id)
	}
	c.settle(all...)
	w.run(5, second)
	c.rule(own, "")
	w.run(1, second)
	if d := w.decision(); d.Desired != 16 || d.Reason != decision.ReasonFirst || d.Sequence != before.Sequence+1 {
		t.Errorf("desired %d (%s), sequence %d: want the 16 that run, not an answer of ten hours ago", d.Desired, d.Reason, d.Sequence)
	}
}

// late is a cluster that tells all it knows between two questions of one tick.
type late struct {
	*town
	then  cluster.View
	asked int
}

func (l *late) Look(id fleet.ID) cluster.View {
	if l.asked++; l.asked == 1 {
		return l.town.Look(id)
	}
	return l.then
}

func TestATickGoesByOneViewOfTheCluster(t *testing.T) {
	w, c := newWorld(t, ids(4)...), &town{}
	own := narrow(w)
	c.settle(ids(4)...)
	c.rule(nil, refused)
	facts := &late{town: c, then: cluster.View{Policy: own, Cluster: c.view.Cluster}}
	first := w.replica(c.lives)
	first.elect(100)
	w.run(10, first)
	first.resign()
	asked := 0
	policies := func(fleet.ID) policy.Policy { asked++; return w.policy }
	leader := w.replica(func(d *Deps) { d.Facts, d.Events, d.Policies = facts, c, policies })
	leader.elect(200)
	w.pass()
	leader.tick()
	if facts.asked != 1 {
		t.Fatalf("the cluster was asked %d times in one tick: the policy of one moment would count with the readiness of another", facts.asked)
	}
	w.run(20, leader)
	if d := w.decision(); d.Desired != 4 || asked != 1 {
		t.Errorf("desired %d, the rules of all fleets were asked for %d times: want the 4 that run, and the fleet's own rules as soon as they are known", d.Desired, asked)
	}
}

func TestAFleetWhoseAPIServerIsNotHeardIsSeen(t *testing.T) {
	w, c := newWorld(t, ids(2)...), &town{}
	c.settle(ids(2)...)
	leader := w.replica(c.lives)
	leader.elect(100)
	const sample = `tidegate_balancer_kubernetes_stale{fleet="shop/chat"}`
	w.run(2, leader)
	if got := leader.metric(sample); got != "0" {
		t.Errorf("%s is %q, want 0", sample, got)
	}
	c.stale(true)
	w.run(2, leader)
	if got := leader.metric(sample); got != "1" {
		t.Errorf("%s is %q, want 1", sample, got)
	}
}

// A fleet of one whose ScaledObject gets another trigger is answered as before, but for longer.
func TestReadersLearnThatAnAnswerLasts(t *testing.T) {
	lone := decision.Decision{Fleet: chat, Sequence: 1, Desired: 1, Answer: 1}
	beside := lone
	beside.AnswerLasts = true
	if differs(lone, lone) || !differs(lone, beside) || !differs(beside, lone) {
		t.Error("the change is not stored: an answer would end that stands, or stand though it ended")
	}
}
