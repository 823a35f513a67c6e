package decide_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// watched is a story of a fleet that has been seen long enough to scale in, and is busy enough not to.
func watched(t *testing.T, p policy.Policy, count int) *story {
	t.Helper()
	s := tell(t, p)
	s.run(12, nodes(count, 85))
	s.want(count, decision.ReasonBalanced)
	return s
}

// leave makes the nominated nodes do what they are told: gone.
func leave(all []load.Node, victims []fleet.NodeID) []load.Node {
	return slices.DeleteFunc(slices.Clone(all), func(n load.Node) bool { return slices.Contains(victims, n.Node) })
}

func TestScaleInWaitsForAWholeDelayOfQuiet(t *testing.T) {
	t.Parallel()
	s := watched(t, quick(), 4)
	for range 8 {
		s.step(nodes(4, 20))
		s.want(4, decision.ReasonBalanced)
	}
	s.limited(decision.LimitDelay)
	s.run(6, nodes(4, 20))
	s.want(3, decision.ReasonBalanced)
}

func TestAMomentOfLoadStartsTheDelayAnew(t *testing.T) {
	t.Parallel()
	s := watched(t, quick(), 4)
	s.run(6, nodes(4, 20))
	s.run(3, nodes(4, 85))
	s.run(8, nodes(4, 20))
	s.want(4, decision.ReasonBalanced)
	s.limited(decision.LimitDelay)
}

func TestScaleInGoesStepByStepInsideTheBudget(t *testing.T) {
	t.Parallel()
	p := quick()
	s := watched(t, p, 20)
	all := nodes(20, 20)
	var steps []int
	var lastStep time.Time
	for range 120 {
		before := s.last
		d := s.step(all)
		if d.Desired < before.Desired {
			steps = append(steps, d.Desired)
			if fall := before.Desired - d.Desired; fall > p.Budget(before.Desired) {
				t.Fatalf("%d nodes leave at once, the budget is %d", fall, p.Budget(before.Desired))
			}
			if !lastStep.IsZero() && d.At.Sub(lastStep) < p.ScaleInStep {
				t.Fatalf("two steps within %s", d.At.Sub(lastStep))
			}
			lastStep = d.At
		}
		if d.At.Before(d.RefreshedAt.Add(-time.Second)) {
			all = leave(all, d.Victims)
		}
	}
	// With fewer nodes the same nodes carry 20 each here, so the need shrinks with them; the minimum ends it.
	if s.last.Desired != 2 || steps[0] != 18 {
		t.Fatalf("came to %d by the steps %v, want 18 first (a budget of two) and 2 in the end", s.last.Desired, steps)
	}
	s.limited(decision.LimitMin)
}

func TestWhatStaysMustCarryTheNeedWithRoomToSpare(t *testing.T) {
	t.Parallel()
	s := watched(t, quick(), 6)
	// 430 clients x 1.1 / 100 are 4.73; 5 nodes x 0.93 are 4.65: one fewer would be too few by a hair.
	s.run(30, nodes(5, 86), func(f *load.Fleet) { f.Nodes = append(f.Nodes, serving("node-zzz", 0)) })
	s.want(6, decision.ReasonBalanced)
	s.limited(decision.LimitHeadroom)
	// 420 clients are 4.62.
	s.run(12, nodes(5, 84), func(f *load.Fleet) { f.Nodes = append(f.Nodes, serving("node-zzz", 0)) })
	if s.last.Desired != 5 || !slices.Equal(s.last.Victims, []fleet.NodeID{"node-zzz"}) {
		t.Fatalf("%d nodes, victims %v: want 5 and the empty one to leave", s.last.Desired, s.last.Victims)
	}
}

func TestNothingLeavesWhile(t *testing.T) {
	t.Parallel()
	quiet := nodes(6, 10)
	replace := func(i int, n load.Node) []load.Node {
		out := slices.Clone(quiet)
		out[i] = n
		return out
	}
	cases := map[string]struct {
		nodes  []load.Node
		change func(*load.Fleet)
		limit  string
	}{
		"a node starts": {
			append(slices.Clone(quiet), in(fleet.Starting, serving("young", 0))),
			func(f *load.Fleet) { f.Nodes[len(f.Nodes)-1].Since = f.Now }, decision.LimitStarting,
		},
		"a replica is on its way":          {quiet, func(f *load.Fleet) { f.Pending = 1 }, decision.LimitStarting},
		"a heartbeat is stale":             {replace(2, stale(quiet[2])), func(*load.Fleet) {}, decision.LimitStale},
		"a node sends nonsense":            {quiet, func(f *load.Fleet) { f.Nodes[3].CPU = -1 }, decision.LimitStale},
		"a node drains, that is the limit": {replace(2, in(fleet.Draining, quiet[2])), func(*load.Fleet) {}, decision.LimitBudget},
		"a node is about to leave":         {replace(2, in(fleet.Leaving, quiet[2])), func(*load.Fleet) {}, decision.LimitBudget},
		"nobody serves":                    {nil, func(*load.Fleet) {}, decision.LimitHeadroom},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := watched(t, quick(), 6)
			for range 60 {
				s.step(c.nodes, c.change)
				if s.last.Desired < 6 {
					t.Fatalf("went in to %d: %s", s.last.Desired, s.last.Note)
				}
			}
			s.limited(c.limit)
		})
	}
}

func TestNodesThatAreTooManyUseUpTheBudget(t *testing.T) {
	t.Parallel()
	s := watched(t, quick(), 6)
	for range 20 {
		if s.step(nodes(6, 10)); s.last.Desired == 5 {
			break
		}
	}
	s.run(2, nodes(5, 12))
	// The next step is due now, and somebody has added three nodes by hand.
	s.step(nodes(8, 8))
	if s.last.Desired != 5 || len(s.last.Victims) != 3 {
		t.Fatalf("%d nodes, victims %v: three have to leave already, a fourth is beyond the budget of one", s.last.Desired, s.last.Victims)
	}
	s.limited(decision.LimitBudget)
}

func TestStuckNodesDoNotKeepAFleetLarge(t *testing.T) {
	t.Parallel()
	s := watched(t, quick(), 9)
	all := append(nodes(6, 10), in(fleet.Starting, serving("stuck", 0)))
	all[6].Since = start.Add(-time.Hour)
	s.run(25, all, func(f *load.Fleet) { f.Pending, f.Stuck = 2, 2 })
	if s.last.Desired >= 7 || !slices.Contains(s.last.Victims, "stuck") || s.last.Inputs.Stuck != 3 {
		t.Fatalf("%d nodes, victims %v, %d stuck: a pod that never starts leaves first and blocks nobody", s.last.Desired, s.last.Victims, s.last.Inputs.Stuck)
	}
}

func TestOnlyNodesThatServeCanCarry(t *testing.T) {
	t.Parallel()
	s := watched(t, quick(), 8)
	// Five of eight replicas never came back and are stuck; three nodes carry 240 clients, a need of 2.64.
	s.run(60, nodes(3, 80), func(f *load.Fleet) { f.Pending, f.Stuck = 5, 5 })
	if s.last.Desired != 3 {
		t.Fatalf("%d nodes: the stuck replicas go, the three that serve stay (2.64 of 3 x 0.93)\n%s", s.last.Desired, s.last.Note)
	}
	s.limited("")
}

func TestReplicasNobodyHasSeenAreWaitedForAWhile(t *testing.T) {
	t.Parallel()
	s := watched(t, quick(), 4)
	s.run(1, nodes(4, 200))
	out := s.last.Desired
	if out <= 4 {
		t.Fatalf("no scale-out: %s", s.last.Note)
	}
	s.step(nodes(4, 10))
	s.limited(decision.LimitStarting)
	s.run(30, nodes(4, 10))
	if s.last.Desired >= out {
		t.Fatalf("replicas that never appeared keep the count at %d for ever: %s", s.last.Desired, s.last.Note)
	}
}

func TestALoweredMaximumComesDownInSteps(t *testing.T) {
	t.Parallel()
	for _, kind := range []policy.Kind{policy.Count, policy.Table} {
		p := quick()
		p.Kind = kind
		s := tell(t, p)
		all := nodes(16, 60)
		s.run(12, all)
		s.p.MaxReplicas = 10
		lowest := s.last.Desired
		for range 300 {
			for i := range all {
				// The clients of those that left are on those that stay.
				all[i].Connections = 960 / len(all)
			}
			d := s.step(all)
			if d.Desired < lowest-p.Budget(16) {
				t.Fatalf("%s: a lowered maximum cut %d nodes at once: their sessions would all be closed together", kind, lowest-d.Desired)
			}
			lowest = min(lowest, d.Desired)
			all = leave(all, d.Victims)
		}
		if lowest != 10 {
			t.Fatalf("%s: came down to %d, want 10: %s", kind, lowest, s.last.Note)
		}
	}
}

func TestARaisedMinimumCountsAtOnce(t *testing.T) {
	t.Parallel()
	for _, kind := range []policy.Kind{policy.Count, policy.Table} {
		p := quick()
		p.Kind = kind
		s := tell(t, p)
		s.run(3, nodes(2, 10))
		s.p.MinReplicas = 5
		s.step(nodes(2, 10))
		if s.last.Desired != 5 || s.last.LimitedBy != decision.LimitMin {
			t.Fatalf("%s: %d nodes limited by %q, want 5 by the minimum", kind, s.last.Desired, s.last.LimitedBy)
		}
	}
}
