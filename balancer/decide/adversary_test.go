package decide_test

import (
	"math"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/internal/load"
)

// What is far from any fleet must neither stop a decision nor stay in the memory.
func TestAdversariesOfALearningCount(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(i int, all []load.Node) []load.Node{
		"zero nodes for a while":              func(i int, all []load.Node) []load.Node { return all[:len(all)*min(1, i%3)] },
		"handshakes without end":              func(_ int, all []load.Node) []load.Node { all[0].HandshakesPerSecond = math.Inf(1); return all },
		"handshakes of NaN":                   func(_ int, all []load.Node) []load.Node { all[0].HandshakesPerSecond = math.NaN(); return all },
		"a limit below nothing":               func(_ int, all []load.Node) []load.Node { all[0].MaxConnections = math.MinInt; return all },
		"one node has 99 % of the clients":    func(_ int, all []load.Node) []load.Node { all[0].Connections *= 500; all[0].CPU = 1; return all },
		"all are refused":                     func(_ int, all []load.Node) []load.Node { return refusing(all) },
		"every node is young":                 func(_ int, all []load.Node) []load.Node { return young(all) },
		"every node is at its limit":          func(_ int, all []load.Node) []load.Node { return full(all) },
		"uptimes below nothing and backwards": func(_ int, all []load.Node) []load.Node { all[0].Uptime = math.MinInt64; return all },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := learning()
			s := tell(t, p)
			for i := range 400 {
				if i%97 == 96 {
					s.at -= 50
				}
				s.step(nodes(8, 40+i%40), func(f *load.Fleet) { f.Nodes = spoil(i, f.Nodes) })
				if s.last.Desired > p.MaxReplicas || s.last.Validate() != nil {
					t.Fatalf("%d nodes, %v", s.last.Desired, s.last.Validate())
				}
				body, err := s.state.Encode()
				if err != nil {
					t.Fatalf("the memory cannot be handed on: %v", err)
				}
				if again, err := decide.DecodeState(body); err != nil || differ(s.state, again) != "" {
					t.Fatalf("the memory is refused by the next leader: %v", err)
				}
			}
		})
	}
}

func refusing(all []load.Node) []load.Node {
	for i := range all {
		all[i].Connections, all[i].RefusedPerSecond = 0, 50
	}
	return all
}

func young(all []load.Node) []load.Node {
	for i := range all {
		all[i].Uptime = 3 * time.Second
	}
	return all
}

func full(all []load.Node) []load.Node {
	for i := range all {
		all[i].CPU = 1
	}
	return all
}

func TestYoungAndFullNodesTeachNothing(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func([]load.Node) []load.Node{"young": young, "full": full} {
		s := tell(t, learning())
		for i := range 60 {
			s.step(nodes(8, 40+i%40), func(f *load.Fleet) { spoil(f.Nodes) })
		}
		if s.state.Fit.X[0] != 0 {
			t.Errorf("nodes that are %s taught for %v s: one that warms up or is at its limit does not show what a client costs", name, s.state.Fit.X[0])
		}
	}
}
