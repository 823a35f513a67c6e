package world_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/balancer/roll"
	"github.com/tidegate/tidegate/internal/backtest/world"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// believed is what decisions are made from, without the readings themselves.
type believed struct {
	Node  fleet.NodeID
	State fleet.State
	Stale bool
	Age   time.Duration
	Since time.Time
}

func beliefs(f load.Fleet) (out []believed) {
	for i := range f.Nodes {
		n := &f.Nodes[i]
		out = append(out, believed{n.Node, n.State, n.Stale, n.Age, n.Since.UTC()})
	}
	return out
}

// book feeds the balancer's own book with what the world's nodes say.
type book struct {
	book roll.Book
	last map[fleet.NodeID]load.Heartbeat
}

func (b *book) read(tb testing.TB, p policy.Policy, w *world.World, f load.Fleet) load.Fleet {
	tb.Helper()
	var beats []load.Heartbeat
	said := map[fleet.NodeID]load.Heartbeat{}
	for i := range f.Nodes {
		beats = append(beats, f.Nodes[i].Heartbeat)
		said[f.Nodes[i].Node] = f.Nodes[i].Heartbeat
	}
	for id, beat := range b.last {
		if _, still := said[id]; !still {
			// A node says that it is gone before it is.
			beat.State, beat.Sequence, beat.At = fleet.Gone, beat.Sequence+1, f.Now
			beats = append(beats, beat)
		}
	}
	b.last = said
	if bad := b.book.Read(p, f.Now, beats); len(bad) > 0 {
		tb.Fatalf("at %d s the balancer believes a heartbeat not: %v", w.Now(), bad)
	}
	b.book.See(p, f.Cluster)
	b.book.Drop(func(fleet.NodeID) bool { return false })
	return b.book.Fleet(p, f.ID, roll.Standing{Desired: w.Spec()})
}

// The model that the policies get here is the one that the balancer makes of the same heartbeats.
func TestTheModelIsTheBalancersOwn(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*world.Options){"sticky": nil, "movable": movable} {
		w, p, b := made(t, "ramp", change), policy.Default(), book{}
		asked := []int{6, 9, 9, 7, 5, 8, 4, 4}
		for second := range 8 * 90 {
			w.Step(world.Order{Replicas: asked[second/90]})
			if second == 100 {
				w.Silence(w.Pods()[1].ID, 12)
			}
			f := w.Model(p.MinReplicas, p.MaxReplicas, p.StartTimeout, nil)
			theirs := b.read(t, p, w, f)
			if second < 5 {
				continue // the book has to listen for a while before it misses anybody
			}
			if diff := cmp.Diff(beliefs(theirs), beliefs(f)); diff != "" {
				t.Fatalf("%s, at %d s (-balancer +world):\n%s", name, second, diff)
			}
			if theirs.Pending != f.Pending || theirs.Stuck != f.Stuck || f.Reachable != theirs.Reachable {
				t.Fatalf("%s, at %d s: %d pending, %d stuck; the balancer sees %d and %d", name, second, f.Pending, f.Stuck, theirs.Pending, theirs.Stuck)
			}
		}
	}
}
