package move

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

// waiting is a table whose shard 0 moves to this node.
func waiting(next fleet.NodeID) *shard.Table {
	table := New(testFleet(), 2)
	table.Rows[0] = shard.Row{Owner: "a", Next: next}
	return table
}

func TestANextOwnerIsSlowAfterItsPatienceOfHeardTime(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_700_000_000_000)
	const long = time.Hour
	for name, test := range map[string]struct {
		steps func(w *Waits) map[shard.ID][]fleet.NodeID
		slow  bool
	}{
		"not before": {func(w *Waits) map[shard.ID][]fleet.NodeID {
			w.Pass(waiting("b"), at, long)
			return w.Pass(waiting("b"), at.Add(Patience-time.Second), long)
		}, false},
		"after it": {func(w *Waits) map[shard.ID][]fleet.NodeID {
			w.Pass(waiting("b"), at, long)
			return w.Pass(waiting("b"), at.Add(Patience), long)
		}, true},
		"an outage of Redis does not count": {func(w *Waits) map[shard.ID][]fleet.NodeID {
			w.Pass(waiting("b"), at, long)
			return w.Pass(waiting("b"), at.Add(Patience), 0)
		}, false},
		"a clock that is set back does not count": {func(w *Waits) map[shard.ID][]fleet.NodeID {
			w.Pass(waiting("b"), at, long)
			w.Pass(waiting("b"), at.Add(-time.Hour), long)
			return w.Pass(waiting("b"), at.Add(-time.Hour+Patience-time.Second), long)
		}, false},
		"another next owner has its own": {func(w *Waits) map[shard.ID][]fleet.NodeID {
			w.Pass(waiting("c"), at, long)
			w.Pass(waiting("b"), at.Add(Patience-time.Second), long)
			return w.Pass(waiting("b"), at.Add(Patience), long)
		}, false},
		"one that gets ready for others is waited for": {func(w *Waits) map[shard.ID][]fleet.NodeID {
			w.Pass(waiting("b"), at, long)
			w.Pass(waiting("b"), at.Add(Patience-time.Second), long)
			w.Note([]Change{{Shard: 1, Kind: Flip, To: "b", Reason: ReasonReady}})
			return w.Pass(waiting("b"), at.Add(Patience), long)
		}, false},
		"it is barred after the move has ended": {func(w *Waits) map[shard.ID][]fleet.NodeID {
			w.Pass(waiting("b"), at, long)
			w.Pass(waiting("b"), at.Add(Patience), long)
			return w.Pass(waiting(""), at.Add(Patience+SlowRest-time.Second), long)
		}, true},
		"but not for ever": {func(w *Waits) map[shard.ID][]fleet.NodeID {
			w.Pass(waiting("b"), at, long)
			w.Pass(waiting("b"), at.Add(Patience), long)
			return w.Pass(waiting(""), at.Add(Patience+SlowRest), long)
		}, false},
		"nor once it gets ready for others": {func(w *Waits) map[shard.ID][]fleet.NodeID {
			w.Pass(waiting("b"), at, long)
			w.Pass(waiting("b"), at.Add(Patience), long)
			w.Note([]Change{{Shard: 1, Kind: Flip, To: "b", Reason: ReasonReady}})
			return w.Pass(waiting(""), at.Add(Patience), long)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slow := test.steps(&Waits{})
			if got := len(slow[0]) == 1 && slow[0][0] == "b"; got != test.slow || len(slow[1]) != 0 {
				t.Errorf("slow %v: want b for shard 0 %v, and nobody for shard 1", slow, test.slow)
			}
		})
	}
}
