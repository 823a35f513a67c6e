package move

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/placement"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/shard"
)

// tables counts the tables of a steady fleet within ten minutes.
func tables(t *testing.T, nodes int, cpu float64) uint64 {
	t.Helper()
	learned := decision.Model{CPU: decision.Cost{Base: 0.05, PerClient: 1e-4, PerHandshake: 1e-3}, LearnedCPU: true}
	random := rand.New(rand.NewPCG(uint64(nodes), 1))
	names := make([]fleet.NodeID, nodes)
	for i := range names {
		names[i] = nodeName(i)
	}
	members := serving(names...)
	table := owned(t, nodes, members)
	first, now := table.Version, time.Unix(1_900_000_000, 0)
	var pic placement.Picture
	var limits Limits
	readings := make([]load.Node, nodes)
	for range 600 {
		now = now.Add(time.Second)
		for i := range readings {
			readings[i] = load.Node{State: fleet.Serving, Heartbeat: load.Heartbeat{
				Node: names[i], Connections: int((cpu - 0.05) / 1e-4), CPU: min(1, max(0, cpu*(1+0.05*random.NormFloat64()))),
			}}
		}
		pic = placement.Observe(policy.Default(), learned, readings, nodes, now, pic)
		for i := range members {
			members[i].Limit = pic.Of(members[i].ID).Limit
		}
		next, _ := Step(table, Input{Members: members, Fence: 7, Now: now, Limits: limits})
		limits.Note(table, next, now)
		table = next
	}
	return table.Version - first
}

func TestLimitsOfASteadyFleetMakeFewTables(t *testing.T) {
	t.Parallel()
	for _, nodes := range []int{10, 50} {
		for _, cpu := range []float64{0.08, 0.5, 0.84} {
			t.Run(fmt.Sprintf("%d nodes at %v", nodes, cpu), func(t *testing.T) {
				t.Parallel()
				got := tables(t, nodes, cpu)
				t.Logf("%d tables", got)
				if got > 40 {
					t.Errorf("%d tables in ten minutes for noise: every node reads each of them whole", got)
				}
			})
		}
	}
}

func TestALimitWaitsForItsTimeUnlessItHalvesOrARowChanges(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_900_000_000, 0)
	members := serving("a", "b")
	for i := range members {
		members[i].Limit = shard.Limit{Sessions: 1000, Handshakes: 100}
	}
	table := owned(t, 8, members)
	var limits Limits
	limits.Note(&shard.Table{}, table, start)
	for name, test := range map[string]struct {
		after time.Duration
		limit shard.Limit
		row   bool
		want  bool
	}{
		"a bit less":           {10 * time.Second, shard.Limit{Sessions: 900, Handshakes: 60}, false, false},
		"no limit any more":    {10 * time.Second, shard.Limit{}, false, false},
		"a bit less, in time":  {15 * time.Second, shard.Limit{Sessions: 900, Handshakes: 60}, false, true},
		"half":                 {3 * time.Second, shard.Limit{Sessions: 1000, Handshakes: 50}, false, true},
		"half, just told":      {2 * time.Second, shard.Limit{Sessions: 500, Handshakes: 50}, false, false},
		"a row changes anyway": {time.Second, shard.Limit{Sessions: 900, Handshakes: 60}, true, true},
		"the clock went back":  {-time.Hour, shard.Limit{Sessions: 900, Handshakes: 60}, false, true},
	} {
		list := []Member{members[0], members[1]}
		list[0].Limit = test.limit
		list[1].Dead = test.row
		next, _ := Step(table, Input{Members: list, Fence: 7, Now: start.Add(test.after), Limits: limits})
		if told := next.Nodes["a"].Limit == test.limit; told != test.want {
			t.Errorf("%s, after %s: told is %t, want %t", name, test.after, told, test.want)
		}
	}
}
