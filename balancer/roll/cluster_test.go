package roll_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/balancer/roll"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// town is a fleet in a cluster: heartbeats of those who speak, pods of those who exist.
type town struct {
	t      *testing.T
	p      policy.Policy
	b      roll.Book
	second float64
	speak  map[fleet.NodeID]bool
	pods   map[fleet.NodeID]load.Pod
	last   map[fleet.NodeID]load.Heartbeat
	named  []fleet.NodeID // by the table
}

func newTown(t *testing.T, nodes ...fleet.NodeID) *town {
	t.Helper()
	w := &town{
		t: t, p: policy.Default(), second: -1,
		speak: map[fleet.NodeID]bool{}, pods: map[fleet.NodeID]load.Pod{}, last: map[fleet.NodeID]load.Heartbeat{},
	}
	for _, id := range nodes {
		w.speak[id], w.pods[id] = true, load.Pod{Ready: true}
	}
	return w
}

// pass lets so many seconds go by and returns the last model.
func (w *town) pass(seconds, desired int) load.Fleet {
	w.t.Helper()
	var f load.Fleet
	for range seconds {
		w.second++
		var beats []load.Heartbeat
		for id, speaks := range w.speak {
			if speaks {
				w.last[id] = beat(id, uint64(w.second)+1, w.second)
			}
		}
		for _, h := range w.last {
			beats = append(beats, h)
		}
		w.b.Read(w.p, at(w.second), beats)
		pods := map[fleet.NodeID]load.Pod{}
		for id, pod := range w.pods {
			pods[id] = pod
		}
		w.b.See(w.p, &load.Cluster{Pods: pods})
		w.b.Expect(w.p, w.named)
		f = w.b.Fleet(w.p, chat, roll.Standing{Desired: desired})
	}
	return f
}

// hush silences nodes.
func (w *town) hush(nodes ...fleet.NodeID) {
	for _, id := range nodes {
		w.speak[id] = false
	}
}

func stales(f load.Fleet) string {
	var text strings.Builder
	for i := range f.Nodes {
		if f.Nodes[i].Stale {
			text.WriteString(string(f.Nodes[i].Node) + " ")
		}
	}
	return text.String()
}

func TestASilentNodeWithoutAPodIsDeadWithoutAProbe(t *testing.T) {
	w := newTown(t, "a", "b", "c")
	w.pass(5, 3)
	w.hush("a", "b")
	delete(w.pods, "a")
	w.pass(3, 3)
	if w.b.Over("a") {
		t.Fatal("a is dead before it missed three heartbeats: its last words may still be under way")
	}
	w.pass(2, 3)
	if !w.b.Over("a") || w.b.Over("b") {
		t.Errorf("dead: a %v, b %v, want a alone, whose pod is gone", w.b.Over("a"), w.b.Over("b"))
	}
	if got := names(w.b.Suspects(w.p)); got != "b" {
		t.Errorf("probed %q, want b alone: nobody answers for a", got)
	}
}

func TestAnOutageOfRedisKillsNoNodeWithoutAPod(t *testing.T) {
	w := newTown(t, "a")
	w.pass(5, 1)
	delete(w.pods, "a")
	for range 60 {
		w.b.Missed()
		w.b.See(w.p, &load.Cluster{})
	}
	if w.b.Over("a") {
		t.Error("a is dead though nobody could hear it")
	}
}

// A watch of the API server that is broken does not hear of new pods.
func TestANodeWhosePodWasNeverToldOfIsProbed(t *testing.T) {
	w := newTown(t, "a", "b")
	delete(w.pods, "b")
	w.pass(5, 2)
	w.hush("b")
	w.pass(5, 2)
	if w.b.Over("b") || names(w.b.Suspects(w.p)) != "b" {
		t.Error("b spoke although Kubernetes does not know it: only a probe can tell whether it lives")
	}
}

func TestAWordFromTheGraveIsNoLife(t *testing.T) {
	// This replica begins when a's heartbeat has long been the last.
	w := newTown(t, "b")
	w.second = 40
	w.last["a"] = beat("a", 7, 7)
	w.pass(5, 2)
	if !w.b.Over("a") {
		t.Error("a was silent before this replica began, and has no pod: it is dead")
	}
}

func TestNodesThatOnlyTheTableNamesDieSoonerWithoutAPod(t *testing.T) {
	w := newTown(t, "a")
	w.pods["there"] = load.Pod{Ready: true}
	w.named = []fleet.NodeID{"a", "there", "gone"}
	w.pass(8, 3)
	if dead := w.b.Expect(w.p, w.named); len(dead) != 1 || dead[0] != "gone" {
		t.Errorf("dead are %v, want gone alone: the other's pod exists", dead)
	}
}

func TestANodeStaysStaleUntilItsPodIsGone(t *testing.T) {
	w := newTown(t, "a", "b", "c")
	w.pass(5, 3)
	w.hush("b")
	w.pass(5, 3)
	w.b.Judge(w.p, "b", false) // no answer: dead
	if left := w.b.Drop(never); len(left) != 1 {
		t.Fatalf("dropped %v, want b", left)
	}
	if f := w.pass(1200, 3); stales(f) != "b " || f.Pending != 0 {
		t.Errorf("stale %q, pending %d: while b's pod exists nobody knows what it still carries", stales(f), f.Pending)
	}
	pod := w.pods["b"]
	pod.Restarts++
	pod.Ready = false
	w.pods["b"] = pod
	if f := w.pass(1, 3); stales(f) != "" || f.Pending != 1 {
		t.Errorf("stale %q, pending %d after the container began anew: it starts", stales(f), f.Pending)
	}
	delete(w.pods, "b")
	if f := w.pass(1, 2); stales(f) != "" || f.Pending != 0 || len(f.Nodes) != 2 {
		t.Errorf("stale %q, pending %d, %d nodes: b's pod is gone", stales(f), f.Pending, len(f.Nodes))
	}
}

func TestAPodThatSaysItIsReadyAndNeverSpeaksIsStale(t *testing.T) {
	w := newTown(t, "a")
	w.pods["b"] = load.Pod{Ready: true}
	if f := w.pass(5, 2); f.Pending != 1 || stales(f) != "" {
		t.Errorf("pending %d, stale %q: it may not have had the time to speak", f.Pending, stales(f))
	}
	if f := w.pass(int(w.p.StartTime/time.Second), 2); f.Pending != 0 || stales(f) != "b " {
		t.Errorf("pending %d, stale %q: it serves, and nobody knows whom", f.Pending, stales(f))
	}
}

func TestPodsThatDoNotSpeakArePending(t *testing.T) {
	w := newTown(t, "a", "b")
	w.pods["new"] = load.Pod{}
	for _, c := range []struct {
		desired, pending int
		why              string
	}{
		{0, 1, "the pod exists, whoever asked for it"},
		{2, 1, "a surge pod exists besides the two"},
		{3, 1, "the pod is the third"},
		{5, 3, "two replicas are no pods yet"},
	} {
		if f := w.pass(1, c.desired); f.Pending != c.pending || f.Stuck != 0 {
			t.Errorf("desired %d: pending %d, stuck %d, want %d pending: %s", c.desired, f.Pending, f.Stuck, c.pending, c.why)
		}
	}
	if f := w.pass(int(w.p.StartTimeout/time.Second)+2, 3); f.Pending != 1 || f.Stuck != 1 {
		t.Errorf("pending %d, stuck %d, want the pod stuck: no start takes so long", f.Pending, f.Stuck)
	}
}

func TestAPodThatCannotStartIsStuckAtOnce(t *testing.T) {
	for _, trouble := range []string{"CrashLoopBackOff", "ImagePullBackOff", "CreateContainerConfigError"} {
		w := newTown(t, "a", "b")
		w.pods["new"] = load.Pod{Trouble: trouble}
		if f := w.pass(2, 3); f.Pending != 1 || f.Stuck != 1 {
			t.Errorf("%s: pending %d, stuck %d, want it reported and not waited for", trouble, f.Pending, f.Stuck)
		}
		// Between two crashes it looks healthy.
		w.pods["new"] = load.Pod{Restarts: 3}
		if f := w.pass(1, 3); f.Stuck != 1 {
			t.Errorf("%s: not stuck while it runs for a moment: with each crash it would be waited for anew", trouble)
		}
		w.pods["new"] = load.Pod{Ready: true, Restarts: 3}
		if f := w.pass(1, 3); f.Stuck != 0 || f.Pending != 1 {
			t.Errorf("%s: pending %d, stuck %d, but it got ready", trouble, f.Pending, f.Stuck)
		}
	}
}

func TestADeletingPodLeaves(t *testing.T) {
	w := newTown(t, "a", "b", "c")
	w.pods["new"] = load.Pod{Deleting: true}
	w.pods["b"] = load.Pod{Ready: true, Deleting: true}
	f := w.pass(5, 2)
	if f.Pending != 0 {
		t.Errorf("pending %d: a pod that was asked to go will not come", f.Pending)
	}
	if state := f.Nodes[1].State; f.Nodes[1].Node != "b" || state != fleet.Draining {
		t.Errorf("b is %s: it was asked to go, and is given nothing more from that moment", state)
	}
}

func TestWithoutFactsTheBookGoesByHeartbeats(t *testing.T) {
	w := newTown(t, "a")
	w.pods["new"] = load.Pod{Trouble: "CrashLoopBackOff"}
	w.pass(5, 2)
	w.b.See(w.p, nil)
	if f := w.b.Fleet(w.p, chat, roll.Standing{Desired: 2}); f.Pending != 1 || f.Stuck != 0 || f.Cluster != nil {
		t.Errorf("pending %d, stuck %d, facts %v: want the one replica that is missing", f.Pending, f.Stuck, f.Cluster)
	}
}

// However pods come and go, no replica is counted twice, stuck ones are pending, and what was asked for is there or pending.
func TestEveryReplicaIsCountedOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newTown(t)
		w.p.StartTimeout, w.p.StartTime = 20*time.Second, 5*time.Second
		for range rapid.IntRange(1, 60).Draw(rt, "seconds") {
			id := fleet.NodeID(fmt.Sprintf("n%d", rapid.IntRange(0, 7).Draw(rt, "node")))
			switch rapid.IntRange(0, 5).Draw(rt, "event") {
			case 0:
				w.pods[id] = load.Pod{Ready: rapid.Bool().Draw(rt, "ready"), Deleting: rapid.Bool().Draw(rt, "deleting")}
			case 1:
				delete(w.pods, id)
				w.hush(id)
			case 2:
				w.speak[id] = true
				if _, exists := w.pods[id]; !exists {
					w.pods[id] = load.Pod{}
				}
			case 3:
				w.hush(id)
				w.b.Judge(w.p, id, false)
			case 4:
				w.pods[id] = load.Pod{Trouble: "CrashLoopBackOff", Restarts: rapid.IntRange(0, 3).Draw(rt, "restarts")}
			}
			for _, left := range w.b.Drop(never) {
				delete(w.last, left)
			}
			desired := rapid.IntRange(0, 12).Draw(rt, "desired")
			f := w.pass(1, desired)
			seen := map[fleet.NodeID]bool{}
			here := 0
			for i := range f.Nodes {
				if seen[f.Nodes[i].Node] {
					rt.Fatalf("%s is counted twice", f.Nodes[i].Node)
				}
				seen[f.Nodes[i].Node] = true
				if f.Nodes[i].State != fleet.Draining && f.Nodes[i].State != fleet.Gone {
					here++
				}
			}
			if f.Stuck > f.Pending || here+f.Pending < desired || f.Pending < 0 {
				rt.Fatalf("%d here, %d pending, %d stuck with %d desired", here, f.Pending, f.Stuck, desired)
			}
			if f.Pending > 12+8 {
				rt.Fatalf("%d pending of at most 20", f.Pending)
			}
		}
	})
}
