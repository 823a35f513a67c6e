package decide_test

import (
	"math"
	"testing"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/load"
)

// slow runs an obedient fleet whose first node is slower than the others by a factor, with clients in waves about a level.
func (s *story) slow(c costs, seconds int, level, factor float64) (mean, hottest float64) {
	s.t.Helper()
	for range seconds {
		all := crowd(c, max(1, s.last.Desired), level*(1+0.2*math.Sin(s.at/200)), s.at)
		all[0].CPU = min(1, all[0].CPU*factor)
		s.step(all)
		mean, hottest = max(mean, s.last.Inputs.CPU), max(hottest, all[0].CPU)
	}
	return mean, hottest
}

func TestAFullFleetWithANodeThatIsTooHotLearnsALargerMargin(t *testing.T) {
	t.Parallel()
	c := costs{base: 0.05, client: (0.87 - 0.05) / 100, noise: 0.005}
	margin := func(factor, nodeCPU float64) float64 {
		p := policy.Default()
		p.ConnectionsPerPod, p.MaxReplicas, p.Learn.NodeCPU = 100, 200, nodeCPU
		s := tell(t, p)
		s.slow(c, 3*3600, 1500, factor)
		return s.last.Working.Margin
	}
	p := policy.Default()
	alike, hot, blind := margin(1, p.Learn.NodeCPU), margin(1.2, p.Learn.NodeCPU), margin(1.2, 1)
	if hot < alike+0.02 {
		t.Errorf("with a node that is always 20 %% hotter the margin is %.3f, without one %.3f: its clients fare badly and nobody learns", hot, alike)
	}
	if math.Abs(blind-alike) > 0.01 {
		t.Errorf("with marginNodeCPU 1 the margin is %.3f, and %.3f where nodes are alike: it must look at the mean alone", blind, alike)
	}
}

func TestANodeThatIsHotForEverDoesNotWalkTheFleetUp(t *testing.T) {
	t.Parallel()
	c := costs{base: 0.05, client: (0.87 - 0.05) / 100, noise: 0.005}
	p := policy.Default()
	p.ConnectionsPerPod, p.MaxReplicas = 100, 200
	s := tell(t, p)
	// Twice as hot as the others: no fleet of any useful size helps this node.
	s.slow(c, 4*3600, 1500, 2)
	mean := 0.0
	for range 1800 {
		all := crowd(c, max(1, s.last.Desired), 1500*(1+0.2*math.Sin(s.at/200)), s.at)
		all[0].CPU = min(1, 2*all[0].CPU)
		s.step(all)
		mean = max(mean, meanOf(all[1:]))
	}
	if mean < 0.72 {
		t.Fatalf("the others are at %.2f CPU at most, with margin %.2f: one hot node has walked the fleet up", mean, s.last.Working.Margin)
	}
}

func meanOf(nodes []load.Node) float64 {
	sum := 0.0
	for i := range nodes {
		sum += nodes[i].CPU
	}
	return sum / float64(max(1, len(nodes)))
}
