package actuator

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/fleet"
)

func handle(id fleet.NodeID, started int64, ready bool) NodeHandle {
	return NodeHandle{ID: id, StartedAt: time.Unix(started, 0), Ready: ready}
}

func TestLeaving(t *testing.T) {
	nodes := []NodeHandle{handle("old", 1, true), handle("mid", 2, true), handle("new", 3, true), handle("sick", 0, false)}
	tests := []struct {
		name      string
		k         int
		nominated []fleet.NodeID
		want      []fleet.NodeID
	}{
		{"a node that is not ready goes first, whatever is nominated", 1, []fleet.NodeID{"old"}, []fleet.NodeID{"sick"}},
		{"then the nominated", 2, []fleet.NodeID{"old"}, []fleet.NodeID{"sick", "old"}},
		{"in the order of the nomination", 3, []fleet.NodeID{"mid", "old"}, []fleet.NodeID{"sick", "mid", "old"}},
		{"then the newest", 3, nil, []fleet.NodeID{"sick", "new", "mid"}},
		{"strangers and repetitions are passed over", 3, []fleet.NodeID{"x", "old", "old", "x"}, []fleet.NodeID{"sick", "old", "new"}},
		{"more than there are is all", 9, nil, []fleet.NodeID{"sick", "new", "mid", "old"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := leaving(nodes, tc.k, tc.nominated); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestLeavingPicksEachNodeOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var nodes []NodeHandle
		for i := range rapid.IntRange(0, 12).Draw(t, "nodes") {
			nodes = append(nodes, handle(fleet.NodeID(rune('a'+i)), rapid.Int64Range(0, 5).Draw(t, "started"), rapid.Bool().Draw(t, "ready")))
		}
		nominated := rapid.SliceOf(rapid.SampledFrom([]fleet.NodeID{"a", "b", "c", "d", "z"})).Draw(t, "nominated")
		k := rapid.IntRange(0, 15).Draw(t, "k")
		got := leaving(nodes, k, nominated)
		if len(got) != min(k, len(nodes)) {
			t.Fatalf("%d leave of %d, asked for %d", len(got), len(nodes), k)
		}
		sorted := slices.Clone(got)
		slices.Sort(sorted)
		if len(slices.Compact(sorted)) != len(got) {
			t.Fatalf("a node is removed twice: %v", got)
		}
	})
}

func TestRestartsPaceOnlyNodesThatNeverServed(t *testing.T) {
	now := time.Unix(1000, 0)
	var r restarts
	r.died(now, true)
	if held, _ := r.held(now); held != 0 {
		t.Error("a node that had served waits for its replacement")
	}
	r.replaced()
	for i, seconds := range []int{1, 2, 4, 8, 16, 30, 30} {
		want := time.Duration(seconds) * time.Second
		r.died(now, false)
		if held, wait := r.held(now); held == 0 || wait != want {
			t.Errorf("death %d: %d wait for %v, want %v", i+1, held, wait, want)
		}
	}
	if held, _ := r.held(now.Add(31 * time.Second)); held != 0 {
		t.Error("the pause never ends")
	}
	r.healthy()
	if held, _ := r.held(now); held != 0 {
		t.Error("a node became ready and the pause goes on")
	}
}

func TestTrailIsBounded(t *testing.T) {
	var tr trail
	for i := range 3 * maxPoints {
		tr.add(Point{At: time.Unix(int64(i), 0), Desired: i})
		tr.add(Point{At: time.Unix(int64(i), 1), Desired: i})
	}
	if n := len(tr.sum.Timeline); n > maxPoints || n < maxPoints/2 {
		t.Errorf("%d points are kept: want at most %d, and one for a change", n, maxPoints)
	}
}
