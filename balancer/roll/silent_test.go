package roll_test

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/roll"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// A cluster autoscaler begins with a pod that no machine has room for.
func TestAPodWithoutAMachineIsWaitedForAWhile(t *testing.T) {
	w := newTown(t, "a", "b")
	w.p.StartTime, w.p.HPAPeriod = 10*time.Second, 5*time.Second
	homeless := load.Pod{Trouble: load.Unschedulable}
	w.pods["new"] = homeless
	if f := w.pass(70, 3); f.Pending != 1 || f.Stuck != 0 {
		t.Fatalf("pending %d, stuck %d after 70 s: a machine may be on its way, and nothing may leave meanwhile", f.Pending, f.Stuck)
	}
	if f := w.pass(10, 3); f.Pending != 1 || f.Stuck != 1 {
		t.Fatalf("pending %d, stuck %d after five lead times, want it reported and not waited for", f.Pending, f.Stuck)
	}
	w.pods["new"] = load.Pod{}
	if f := w.pass(1, 3); f.Pending != 1 || f.Stuck != 0 {
		t.Errorf("pending %d, stuck %d, but it has a machine and starts", f.Pending, f.Stuck)
	}
	w.pods["new"] = homeless
	if f := w.pass(60, 3); f.Stuck != 0 {
		t.Errorf("stuck %d, but it looks for a machine anew", f.Stuck)
	}
	w.pods["new"] = load.Pod{Trouble: "ErrImagePull"}
	if f := w.pass(1, 3); f.Stuck != 1 {
		t.Errorf("stuck %d: an image that is not there does not come by waiting", f.Stuck)
	}
}

// A container that crashes between two readings has begun anew before its node counts as late.
func TestAQuickRestartInPlaceIsAStart(t *testing.T) {
	w := newTown(t, "a", "b", "c")
	w.pass(5, 3)
	w.hush("b")
	w.pods["b"] = load.Pod{Restarts: 1}
	w.pass(5, 3)
	w.b.Judge(w.p, "b", false)
	w.b.Drop(never)
	if f := w.pass(2, 3); stales(f) != "" || f.Pending != 1 {
		t.Errorf("stale %q, pending %d: its sessions are over with its last life, it starts", stales(f), f.Pending)
	}
}

// Restarts of earlier weeks say nothing of the life whose last heartbeat a new leader finds.
func TestANewLeaderFindsAFrozenNodeStale(t *testing.T) {
	w := newTown(t, "a", "b", "c")
	w.second = 40
	w.last["frozen"] = beat("frozen", 7, 7)
	w.pods["frozen"] = load.Pod{Restarts: 3}
	w.pass(6, 4)
	w.b.Judge(w.p, "frozen", false)
	w.b.Drop(never)
	if f := w.pass(1200, 4); stales(f) != "frozen " || f.Stuck != 0 {
		t.Errorf("stale %q, stuck %d: nobody knows what it still carries", stales(f), f.Stuck)
	}
}

// The heartbeat of a frozen node that was judged dead is no more in Redis when another leader comes.
func TestAFrozenPodIsStaleUnderALaterLeader(t *testing.T) {
	t.Run("because it was ready", func(t *testing.T) {
		w := newTown(t, "a", "b", "c")
		w.pods["frozen"] = load.Pod{Fell: true}
		if f := w.pass(1200, 4); stales(f) != "frozen " || f.Stuck != 0 || f.Pending != 0 {
			t.Errorf("stale %q, pending %d, stuck %d: it would be ignored, and the fleet scaled in", stales(f), f.Pending, f.Stuck)
		}
		w.pods["frozen"] = load.Pod{Restarts: 1}
		if f := w.pass(1, 4); stales(f) != "" || f.Pending != 1 {
			t.Errorf("stale %q, pending %d after it began anew: it starts", stales(f), f.Pending)
		}
	})
	t.Run("because the table named it", func(t *testing.T) {
		w := newTown(t, "a", "b", "c")
		w.pods["frozen"] = load.Pod{}
		w.named = []fleet.NodeID{"frozen"}
		w.pass(20, 4)
		w.named = nil // its shards have moved
		if f := w.pass(1200, 4); stales(f) != "frozen " || f.Stuck != 0 {
			t.Errorf("stale %q, stuck %d: it would be ignored, and the fleet scaled in", stales(f), f.Stuck)
		}
		delete(w.pods, "frozen")
		if f := w.pass(1, 3); stales(f) != "" {
			t.Errorf("stale %q, but the pod is gone", stales(f))
		}
	})
}

func TestWithoutFactsNothingIsRememberedOfTheTable(t *testing.T) {
	b := &roll.Book{}
	w := newTown(t, "a")
	b.Read(w.p, at(0), all(0, "a"))
	b.Expect(w.p, []fleet.NodeID{"gone"})
	b.Expect(w.p, nil)
	if f := b.Fleet(w.p, chat, roll.Standing{}); len(f.Nodes) != 1 {
		t.Errorf("%d nodes, want a alone", len(f.Nodes))
	}
}

// A restart that the node has spoken after is none that ended what it carries now.
func TestANodeThatBeganAnewLongAgoStaysStale(t *testing.T) {
	w := newTown(t, "a", "b", "c")
	w.pass(5, 3)
	w.pods["b"] = load.Pod{Ready: true, Restarts: 1}
	w.pass(5, 3)
	w.hush("b")
	w.pods["b"] = load.Pod{Restarts: 1}
	w.pass(5, 3)
	w.b.Judge(w.p, "b", false)
	w.b.Drop(never)
	if f := w.pass(60, 3); stales(f) != "b " || f.Pending != 0 {
		t.Errorf("stale %q, pending %d: nobody knows what it still carries", stales(f), f.Pending)
	}
}
