package decide_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/load"
)

// costs is what a test's pods really spend.
type costs struct{ base, client, message, handshake, noise float64 }

// loaded is a serving node that spends what it costs; noise is between -1 and 1.
func (c costs) loaded(id string, clients int, rate, shakes, noise float64) load.Node {
	n := serving(id, clients)
	n.MessagesPerSecond, n.HandshakesPerSecond = rate*float64(clients), shakes
	n.CPU = min(1, max(0, c.base+c.client*float64(clients)+c.message*n.MessagesPerSecond+c.handshake*shakes+c.noise*noise))
	n.Memory = min(1, 0.2+c.client*float64(clients)/2)
	return n
}

func drawCosts(t *rapid.T) costs {
	return costs{
		base:      rapid.Float64Range(0, 0.3).Draw(t, "base"),
		client:    1 / rapid.Float64Range(40, 300).Draw(t, "clients a pod"),
		message:   rapid.Float64Range(0, 0.01).Draw(t, "a message"),
		handshake: rapid.Float64Range(0, 0.05).Draw(t, "a handshake"),
		noise:     rapid.Float64Range(0, 0.05).Draw(t, "noise"),
	}
}

// TestRule3NoPodStartsWhateverIsLearned is the trap of a count that learns: load moves, so that capacity, margin and trends are
// learned, then stands still while nothing that was asked for ever starts. The target must stand too.
func TestRule3NoPodStartsWhateverIsLearned(t *testing.T) {
	t.Parallel()
	taught := 0
	rapid.Check(t, func(t *rapid.T) {
		p := learning()
		c, count := drawCosts(t), rapid.IntRange(1, 8).Draw(t, "nodes")
		rate := rapid.Float64Range(0, 2).Draw(t, "rate")
		var s decide.State
		at := 0.0
		look := func(clients []int, shakes, noise float64) int {
			at++
			all := make([]load.Node, count)
			for i := range all {
				all[i] = c.loaded(string(nodes(i+1, 0)[i].Node), clients[i], rate, shakes, noise*math.Sin(at*3+float64(i)))
			}
			f := model(at, all)
			f.Pending = max(0, s.Last.Desired-count)
			d, next := decide.Next(p, s, f)
			s = next
			return d.Desired
		}
		clients := make([]int, count)
		for range rapid.IntRange(0, 3).Draw(t, "phases") {
			level := rapid.IntRange(0, 200).Draw(t, "level")
			for i := range clients {
				clients[i] = level + rapid.IntRange(0, 30).Draw(t, "more")
			}
			for range 12 {
				look(clients, rapid.Float64Range(0, 5).Draw(t, "handshakes"), 1)
			}
		}
		// From here on all stands still: the windows fill with it first.
		highest := 0
		for i := range 100 {
			desired := look(clients, 1, 0)
			if i < 20 {
				highest = max(highest, desired)
				continue
			}
			if desired > highest {
				t.Fatalf("the target rose to %d, past the %d it had, while the load stood still and no pod started: %s", desired, highest, s.Last.Note)
			}
		}
		if s.Model.LearnedCPU {
			taught++
		}
	})
	if taught < 10 {
		t.Fatalf("capacity was learned in %d runs only: the property was not tested", taught)
	}
}

// A flood that no pod ever comes for: however long it lasts, the target is what the flood needs.
func TestPodsThatNeverStartAreNotMultiplied(t *testing.T) {
	t.Parallel()
	for name, declared := range map[string]float64{"declared right": 200, "30 % too high": 260, "30 % too low": 140, "not declared": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := policy.Default()
			p.ConnectionsPerPod = declared
			c := costs{base: 0.05, client: (p.CPUCeiling - 0.05) / 200, noise: 0.02}
			var s decide.State
			highest, most := 0, 0.0
			for i := range 3600 {
				// Four nodes of which each carries 250 at most: the rest is refused and comes again every five seconds.
				want := 600 + 500*(1-math.Cos(float64(i)/600))
				most = max(most, want)
				all := make([]load.Node, 4)
				for k := range all {
					all[k] = c.loaded(string(nodes(k+1, 0)[k].Node), int(min(210, want/4)), 0, 0.5, math.Sin(float64(7*i+k)))
					all[k].RefusedPerSecond = max(0, want/4-210) / p.RefusedRetry.Seconds()
				}
				f := model(float64(i), all)
				f.Pending = max(0, s.Last.Desired-len(all))
				_, s = decide.Next(p, s, f)
				if i > 600 {
					highest = max(highest, s.Last.Desired)
				}
			}
			if need := int(math.Ceil(most / 200)); highest > need+1 {
				t.Fatalf("the target reached %d where the peak needs %d and none ever started: %s", highest, need, s.Last.Note)
			}
		})
	}
}

// drawn is a policy that learns, or one that does not.
func drawn(t *rapid.T) policy.Policy {
	if rapid.Bool().Draw(t, "learns") {
		return learning()
	}
	return quick()
}
