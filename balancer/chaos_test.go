package balancer

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

// seeds is how many lives of a fleet are told, each different and each the same at every run.
const seeds = 8

// TestWhateverDiesTheTableAndTheDecisionOnlyGoForward lets nodes join and die, leaders change between any two steps,
// Redis lose its data and the fleet's load jump. The rules of the table and of the decision hold after every second, as
// readers see them.
func TestWhateverDiesTheTableAndTheDecisionOnlyGoForward(t *testing.T) {
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := newWorld(t, ids(3)...)
			chance := rand.New(rand.NewPCG(seed, seed))
			c := &chaos{w: w, chance: chance, fence: 100, born: 3, replicas: []*replica{w.replica(), w.replica()}}
			reader := w.replica()
			c.replicas[0].elect(c.fence)
			var seen history
			for range 20 {
				c.strike()
				w.run(1, c.replicas[c.leading], c.replicas[1-c.leading], reader)
				seen = seen.check(t, reader)
			}
		})
	}
}

// chaos is what happens to a fleet.
type chaos struct {
	w        *world
	chance   *rand.Rand
	replicas []*replica
	leading  int
	fence    uint64
	born     int
}

// strike lets one thing happen, or nothing.
func (c *chaos) strike() {
	switch c.chance.IntN(9) {
	case 0:
		c.w.join(fleet.NodeID(fmt.Sprintf("chat-%d", c.born)))
		c.born++
	case 1:
		if len(c.w.nodes) > 1 {
			c.w.kill(c.anyNode())
		}
	case 2:
		c.replicas[c.leading].resign()
		c.takeOver()
	case 3:
		// The old leader does not know yet that the lease is another's, and goes on.
		c.takeOver()
	case 4:
		c.w.server.FlushAll()
	case 5:
		c.w.nodes[c.anyNode()].connections = c.chance.IntN(5000)
	}
}

func (c *chaos) takeOver() {
	c.leading, c.fence = 1-c.leading, c.fence+1
	c.replicas[c.leading].resign() // what may be left of an earlier term
	c.replicas[c.leading].elect(c.fence)
}

func (c *chaos) anyNode() fleet.NodeID {
	all := slices.Sorted(maps.Keys(c.w.nodes))
	return all[c.chance.IntN(len(all))]
}

// history is what readers have seen so far.
type history struct {
	table    *shard.Table
	decision decision.Decision
}

// check compares what a reader sees now with what it saw before.
func (h history) check(t *testing.T, reader *replica) history {
	t.Helper()
	if table, _, ok := reader.tables.Latest(chat); ok {
		h.checkTable(t, table)
		h.table = table
	}
	if d, _, ok := reader.decisions.Latest(chat); ok {
		h.checkDecision(t, d)
		h.decision = d
	}
	return h
}

func (h history) checkDecision(t *testing.T, d decision.Decision) {
	t.Helper()
	switch before := h.decision; {
	case d.Fence < before.Fence || d.Sequence < before.Sequence:
		t.Fatalf("decision %d of fence %d after %d of %d: KEDA's toggle would repeat", d.Sequence, d.Fence, before.Sequence, before.Fence)
	case d.Sequence == before.Sequence && d.Desired != before.Desired:
		t.Fatalf("desired went from %d to %d without a new sequence", before.Desired, d.Desired)
	}
}

func (h history) checkTable(t *testing.T, table *shard.Table) {
	t.Helper()
	if before := h.table; before != nil {
		if table.Fence < before.Fence || table.Version < before.Version {
			t.Fatalf("table %d of fence %d after %d of %d: nodes would ignore it", table.Version, table.Fence, before.Version, before.Fence)
		}
		if table.Version == before.Version && !slices.Equal(table.Rows, before.Rows) {
			t.Fatalf("two tables carry version %d: their readers disagree about owners", table.Version)
		}
	}
	for i, row := range table.Rows {
		if row.Owner == "" {
			t.Fatalf("shard %d lost its owner", i)
		}
		if table.Nodes[row.Owner].URL == "" {
			t.Fatalf("shard %d is owned by %s, whom nobody can reach", i, row.Owner)
		}
	}
}
