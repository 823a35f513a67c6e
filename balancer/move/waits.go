package move

import (
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

const (
	// Patience is how long a move waits for a next owner that gets ready for nothing.
	Patience = 30 * time.Second
	// SlowRest is how long a node that was too slow for a shard is not given it again.
	SlowRest = 5 * time.Minute
)

// Waits is a leader's memory of how long the moves under way have waited, and of the nodes that were too slow.
// It is not stored: a new leader is patient anew. The zero value remembers nothing; it is for one goroutine.
type Waits struct {
	now  time.Time
	open map[shard.ID]wait
	slow map[shard.ID]map[fleet.NodeID]time.Duration // what is left of the rest
}

type wait struct {
	next fleet.NodeID
	past time.Duration
}

// Pass lets the time until now go by for a table's moves, and names the nodes that are too slow, for Input.Slow.
// Only time in which heartbeats could be read counts: watched is for how long that was so without a break.
func (w *Waits) Pass(t *shard.Table, now time.Time, watched time.Duration) map[shard.ID][]fleet.NodeID {
	passed := min(max(0, now.Sub(w.now)), watched)
	w.now = now
	w.rest(passed)
	open := map[shard.ID]wait{}
	for i, row := range t.Rows {
		if row.Next == "" {
			continue
		}
		id := shard.ID(i)
		at := wait{next: row.Next}
		if before := w.open[id]; before.next == row.Next {
			at.past = before.past + passed
		}
		open[id] = at
		if at.past >= Patience {
			w.bar(id, at.next)
		}
	}
	w.open = open
	return w.named()
}

// rest lets nodes be given again what they were too slow for long ago.
func (w *Waits) rest(passed time.Duration) {
	for id, nodes := range w.slow {
		for node := range nodes {
			if nodes[node] -= passed; nodes[node] <= 0 {
				delete(nodes, node)
			}
		}
		if len(nodes) == 0 {
			delete(w.slow, id)
		}
	}
}

func (w *Waits) bar(id shard.ID, node fleet.NodeID) {
	if w.slow == nil {
		w.slow = map[shard.ID]map[fleet.NodeID]time.Duration{}
	}
	if w.slow[id] == nil {
		w.slow[id] = map[fleet.NodeID]time.Duration{}
	}
	w.slow[id][node] = SlowRest
}

func (w *Waits) named() map[shard.ID][]fleet.NodeID {
	named := make(map[shard.ID][]fleet.NodeID, len(w.slow))
	for id, nodes := range w.slow {
		for node := range nodes {
			named[id] = append(named[id], node)
		}
	}
	return named
}

// Note takes a step's changes: a node that got ready for a shard can read the log, so it is waited for anew with
// all that it still warms up, and may be given again what it was too slow for. So a newcomer that is busy with
// hundreds of shards, or one that waited for a Kafka that was away, is not given up.
func (w *Waits) Note(changes []Change) {
	able := map[fleet.NodeID]bool{}
	for _, c := range changes {
		if c.Kind == Flip && c.Reason == ReasonReady {
			able[c.To] = true
		}
	}
	if len(able) == 0 {
		return
	}
	for id, at := range w.open {
		if able[at.next] {
			w.open[id] = wait{next: at.next}
		}
	}
	for _, nodes := range w.slow {
		for node := range able {
			delete(nodes, node)
		}
	}
}
