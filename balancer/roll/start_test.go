package roll_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/balancer/roll"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// life is the first heartbeat of a node's life that has just begun.
func life(node fleet.NodeID, incarnation int64, state fleet.State, second float64) load.Heartbeat {
	h := beat(node, 1, second)
	h.Incarnation, h.State, h.Uptime = incarnation, state, 0
	return h
}

func since(t *testing.T, f load.Fleet, id fleet.NodeID) time.Time {
	t.Helper()
	for _, n := range f.Nodes {
		if n.Node == id {
			return n.Since
		}
	}
	t.Fatalf("%s is not among %+v", id, f.Nodes)
	return time.Time{}
}

func TestCrashLoopIsOneLongStart(t *testing.T) {
	p, b := policy.Default(), &roll.Book{}
	for round := range 30 {
		second := float64(2 * round)
		b.Read(p, at(second), append(all(second, "a"), life("b", int64(round+1), fleet.Starting, second)))
	}
	if got := since(t, b.Fleet(p, chat, roll.Standing{}), "b"); !got.Equal(at(0)) {
		t.Errorf("b starts since %v, want %v: with each crash it would be waited for anew", got, at(0))
	}
	b.Read(p, at(60), append(all(60, "a"), life("b", 40, fleet.Serving, 60)))
	b.Read(p, at(62), append(all(62, "a"), life("b", 41, fleet.Starting, 62)))
	if got := since(t, b.Fleet(p, chat, roll.Standing{}), "b"); !got.Equal(at(62)) {
		t.Errorf("b starts since %v, want %v: it has served in between", got, at(62))
	}
}

func TestCrashLoopIsOneLongStartThoughTheNodeIsDroppedInBetween(t *testing.T) {
	p, b := policy.Default(), &roll.Book{}
	second := 0.0
	for round := range 5 {
		b.Read(p, at(second), append(all(second, "a"), life("b", int64(round+1), fleet.Starting, second)))
		if got := since(t, b.Fleet(p, chat, roll.Standing{}), "b"); !got.Equal(at(0)) {
			t.Fatalf("life %d of b starts since %v, want %v", round+1, got, at(0))
		}
		// It dies, is dropped, and its heartbeat is removed from Redis before the next life begins.
		for range 6 {
			second++
			b.Read(p, at(second), all(second, "a"))
		}
		b.Judge(p, "b", false)
		if left := b.Drop(never); len(left) != 1 {
			t.Fatalf("dropped %v, want b", left)
		}
	}
	// So long after the last try the name is new again, and nothing of it is remembered.
	for range int(p.StartTimeout/time.Second) + 2 {
		second++
		b.Read(p, at(second), all(second, "a"))
	}
	b.Read(p, at(second), append(all(second, "a"), life("b", 9, fleet.Starting, second)))
	if got := since(t, b.Fleet(p, chat, roll.Standing{}), "b"); !got.Equal(at(second)) {
		t.Errorf("b starts since %v, want %v", got, at(second))
	}
}

func TestReplicaThatArrivesAndDiesBeforeItServesIsStillMissing(t *testing.T) {
	p, b := policy.Default(), &roll.Book{}
	p.StartTimeout = 30 * time.Second
	standing := roll.Standing{Desired: 2}
	var f load.Fleet
	second := 0.0
	for round := range 6 {
		// Each try is a pod of another name that says hello and dies.
		id := fleet.NodeID(fmt.Sprintf("try-%d", round))
		b.Read(p, at(second), append(all(second, "a"), life(id, 1, fleet.Starting, second)))
		if f = b.Fleet(p, chat, standing); f.Pending != 0 || f.Stuck != 0 {
			t.Fatalf("pending %d, stuck %d while the replica is here", f.Pending, f.Stuck)
		}
		for range 6 {
			second++
			b.Read(p, at(second), all(second, "a"))
			b.Fleet(p, chat, standing)
		}
		b.Judge(p, id, false)
		b.Drop(never)
		f = b.Fleet(p, chat, standing)
	}
	if f.Pending != 1 || f.Stuck != 1 {
		t.Errorf("pending %d, stuck %d, want the one replica stuck: no pod takes %v s to serve", f.Pending, f.Stuck, second)
	}
	b.Read(p, at(second), append(all(second, "a"), life("good", 1, fleet.Serving, second)))
	b.Fleet(p, chat, standing)
	standing.Desired = 3
	if f = b.Fleet(p, chat, standing); f.Pending != 1 || f.Stuck != 0 {
		t.Errorf("pending %d, stuck %d, want one that was asked for just now", f.Pending, f.Stuck)
	}
}
