package balancer

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/cluster"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// town is the cluster that a world is in: what Kubernetes would say, and what users were told.
type town struct {
	mu   sync.Mutex
	view cluster.View
	told []string
}

func (c *town) Look(fleet.ID) cluster.View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view
}

// rule says what the fleet's policy is, or why there is none.
func (c *town) rule(p *policy.Policy, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.view.Policy, c.view.NoPolicy = p, why
}

func (c *town) Tell(id fleet.ID, warning bool, reason, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kind := "Normal"
	if warning {
		kind = "Warning"
	}
	c.told = append(c.told, fmt.Sprintf("%s %s %s: %s", id, kind, reason, message))
}

// of are the events of a reason.
func (c *town) of(reason string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, text := range c.told {
		if strings.Contains(text, " "+reason+": ") {
			out = append(out, text)
		}
	}
	return out
}

// say changes what Kubernetes says; answers that were handed out stay as they were.
func (c *town) say(change func(*load.Cluster)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := load.Cluster{}
	if c.view.Cluster != nil {
		next = *c.view.Cluster
	}
	pods := map[fleet.NodeID]load.Pod{}
	for id, pod := range next.Pods {
		pods[id] = pod
	}
	next.Pods = pods
	change(&next)
	c.view.Cluster = &next
}

// settle says that these nodes are all there is.
func (c *town) settle(nodes ...fleet.NodeID) {
	c.say(func(f *load.Cluster) {
		f.Spec, f.Status, f.Pods = len(nodes), len(nodes), map[fleet.NodeID]load.Pod{}
		for _, id := range nodes {
			f.Pods[id] = load.Pod{Ready: true}
		}
	})
}

// stale says whether the API server is heard.
func (c *town) stale(is bool) { c.say(func(f *load.Cluster) { f.Stale = is }) }

func (c *town) lives(d *Deps) { d.Facts, d.Events = c, c }

func TestADeadPodsShardsMoveWithoutAProbe(t *testing.T) {
	w, c := newWorld(t, ids(3)...), &town{}
	c.settle(ids(3)...)
	leader := w.replica(c.lives)
	leader.elect(100)
	w.run(10, leader)
	delete(w.nodes, "chat-1") // and whoever has its address now answers the probe
	c.settle("chat-0", "chat-2")
	w.run(6, leader)
	if owners, _ := owned(w.table()); owners["chat-1"] != 0 {
		t.Errorf("owners %v: chat-1's pod is gone, its clients wait for nothing", owners)
	}
	w.run(2, leader)
	if _, body := get(t, leader.Handler(), "/api/v1/status"); strings.Contains(body, "chat-1") {
		t.Errorf("the model still has chat-1: %s", body)
	}
}

func TestAStuckPodIsToldOfAndNotMultiplied(t *testing.T) {
	w, c := newWorld(t, ids(2)...), &town{}
	c.settle(ids(2)...)
	leader := w.replica(c.lives)
	leader.elect(100)
	w.run(5, leader)
	for _, n := range w.nodes {
		n.connections = 1300
	}
	w.run(30, leader)
	before := w.decision().Desired
	if before != 3 {
		t.Fatalf("desired %d, want 3", before)
	}
	c.say(func(f *load.Cluster) {
		f.Spec, f.Status = 3, 3
		f.Pods["chat-2"] = load.Pod{Trouble: "ImagePullBackOff"}
	})
	w.run(60, leader)
	d := w.decision()
	if d.Desired != before || d.Inputs.Stuck != 1 {
		t.Errorf("desired %d with %d stuck, want %d with 1", d.Desired, d.Inputs.Stuck, before)
	}
	if told := c.of(eventStuck); len(told) != 1 || !strings.Contains(told[0], "chat-2 is in ImagePullBackOff") || !strings.Contains(told[0], "Warning") {
		t.Errorf("told %q, want once which pod is stuck and why", told)
	}
	c.say(func(f *load.Cluster) { f.Pods["chat-2"] = load.Pod{Ready: true} })
	w.join("chat-2")
	w.run(3, leader)
	if told := c.of(eventRecovered); len(told) != 1 {
		t.Errorf("told %q, want once that it is over", told)
	}
}

func TestEachDecisionIsToldOnceAndByTheLeaderAlone(t *testing.T) {
	w, c, other := newWorld(t, ids(2)...), &town{}, &town{}
	c.settle(ids(2)...)
	other.settle(ids(2)...)
	leader, follower := w.replica(c.lives), w.replica(other.lives)
	leader.elect(100)
	w.run(5, leader, follower)
	for _, n := range w.nodes {
		n.connections = 1300
	}
	w.run(30, leader, follower)
	if told, d := c.of(eventDecided), w.decision(); len(told) != int(d.Sequence) || !strings.Contains(told[len(told)-1], "From 2 out to 3 nodes") || !strings.Contains(told[len(told)-1], "[demand]") {
		t.Errorf("told %q for %d decisions, want each with its reason", told, d.Sequence)
	}
	if len(other.told) > 0 {
		t.Errorf("a follower told %q", other.told)
	}
}

func TestWhatIsWrongIsToldWhenItBeginsAndEnds(t *testing.T) {
	w, c := newWorld(t, ids(2)...), &town{}
	c.settle(ids(2)...)
	c.say(func(f *load.Cluster) { f.HPA = load.Autoscaler{Found: true, Min: 2, Max: 50} })
	leader := w.replica(c.lives)
	leader.elect(100)
	w.run(5, leader)
	c.say(func(f *load.Cluster) {
		f.Fault, f.Warnings = `maxReplicas "lots" is no number: write 50`, []string{"idleReplicaCount is 0"}
	})
	w.run(5, leader)
	c.say(func(f *load.Cluster) {
		zero := 0.0
		f.Fault, f.HPA.Up, f.HPA.Down = "", &zero, &zero
	})
	for _, n := range w.nodes {
		n.silent = true
	}
	w.run(12, leader)
	for _, n := range w.nodes {
		n.silent = false
	}
	w.run(5, leader)
	for reason, want := range map[string]string{
		eventTolerance: "within 10 % out and 10 % in",
		eventPolicy:    `maxReplicas "lots"`,
		eventSettings:  "idleReplicaCount is 0",
		eventHeld:      "have no fresh heartbeat",
	} {
		if told := c.of(reason); len(told) != 1 || !strings.Contains(told[0], want) || !strings.Contains(told[0], "Warning") {
			t.Errorf("%s: told %q, want one warning with %q", reason, told, want)
		}
	}
	if told := c.of(eventRecovered); len(told) != 2 {
		t.Errorf("told %q, want that the policy is in use and that decisions are made again", told)
	}
}

func TestAStepThatAnHPAWouldIgnoreIsServedWide(t *testing.T) {
	w, c := newWorld(t, ids(20)...), &town{}
	c.settle(ids(20)...)
	c.say(func(f *load.Cluster) { f.HPA = load.Autoscaler{Found: true, Min: 2, Max: 50} })
	leader := w.replica(c.lives)
	leader.elect(100)
	for _, n := range w.nodes {
		n.connections = 900
	}
	w.run(5, leader)
	before := w.decision()
	for _, n := range w.nodes {
		n.connections = 950
	}
	w.run(30, leader)
	d := w.decision()
	if d.Desired != 21 || d.Answer != 23 || d.Sequence == before.Sequence || !strings.Contains(d.Note, "served 23") {
		t.Fatalf("desired %d, answer %d, note %q: want 21, served as 23", d.Desired, d.Answer, d.Note)
	}
	if d.Served(w.now) != 23 || d.Served(w.now.Add(time.Minute)) != 21 {
		t.Errorf("served %d, and %d a minute later: a wider step that nobody watches must end", d.Served(w.now), d.Served(w.now.Add(time.Minute)))
	}
	for _, id := range ids(23)[20:] {
		w.join(id).connections = 0
	}
	c.settle(ids(23)...)
	w.run(2, leader)
	if landed := w.decision(); landed.Answer != 0 || landed.Desired != 21 || landed.Sequence == d.Sequence || len(landed.Victims) > 0 {
		t.Errorf("desired %d, answer %d, victims %v after it landed: want the true count, and nobody sent away", landed.Desired, landed.Answer, landed.Victims)
	}
}

func TestARolloutMovesShardsToNewPodsOnly(t *testing.T) {
	w, c := newWorld(t, ids(3)...), &town{}
	c.settle(ids(3)...)
	leader := w.replica(c.lives)
	leader.elect(100)
	w.run(10, leader)
	first := w.decision()
	c.say(func(f *load.Cluster) {
		f.Status, f.Rolling = 4, true
		for id := range f.Pods {
			f.Pods[id] = load.Pod{Ready: true, Old: true}
		}
		f.Pods["new-0"] = load.Pod{}
	})
	w.join("new-0")
	w.run(20, leader)
	c.say(func(f *load.Cluster) { f.Pods["chat-0"] = load.Pod{Ready: true, Old: true, Deleting: true} })
	before, _ := owned(w.table())
	w.run(10, leader)
	after, _ := owned(w.table())
	if after["chat-0"] != 0 || after["new-0"] <= before["new-0"] {
		t.Errorf("owners %v became %v: what chat-0 leaves goes to the node that stays first", before, after)
	}
	if d := w.decision(); d.Desired != first.Desired || d.Reason == decision.ReasonHoldStale || len(d.Victims) > 0 {
		t.Errorf("desired %d (%s), victims %v: a rollout leaves the count where it was", d.Desired, d.Reason, d.Victims)
	}
}
