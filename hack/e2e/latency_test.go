//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
)

// perPod is the connectionsPerPod of quick fleets, margin the factor that the policy puts on the load, and hysteresis the
// part of what would stay that a need must be below before a node leaves.
const perPod, margin, hysteresis = 100, 1.1, 0.93

// clientsFor is a load that a fleet grows to n nodes for.
func clientsFor(n int) int { return int((float64(n) - 0.3) * perPod / margin) }

// clientsLeft is a load that a fleet shrinks to n nodes for, and no further.
func clientsLeft(n int) int { return int((hysteresis*float64(n) - 0.2) * perPod / margin) }

// needs lets the band carry a load for n nodes, whether it comes from fewer or from more.
func (p *puppets) needs(t *testing.T, n int) {
	t.Helper()
	now, err := p.replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if now > n {
		p.carries(clientsLeft(n))
	} else {
		p.carries(clientsFor(n))
	}
}

// stagger waits a random while, so that no measurement runs in step with a period of the cluster.
func stagger(t *testing.T, least, most time.Duration) {
	t.Helper()
	timer := time.NewTimer(least + rand.N(most-least))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// Twenty decisions, ten out and ten in, pushed and polled side by side.
func TestFullDecisionToReplicas(t *testing.T) {
	const out, in = 10, 10
	s := town.cluster.stage(t)
	// A step may be forecast to go on and bring two or three nodes instead of one: ten of them must not reach the maximum.
	const most = 60
	pushed := s.puppets(t, "pushed", plan{min: 2, max: most, trigger: quick()})
	polled := s.puppets(t, "polled", plan{min: 2, max: most, trigger: quick(), kind: "external"})
	gauges := [2]*gauge{pushed.gauge(t), polled.gauge(t)}
	for _, g := range gauges {
		g.band.carries(clientsFor(2))
		g.band.plays(t, 2)
	}
	began := time.Now()
	for i := range out + in {
		by := 1
		if i >= out {
			by = -1
		}
		stagger(t, time.Second, 6*time.Second)
		var steps sync.WaitGroup
		for _, g := range gauges {
			steps.Go(func() { g.step(t, by) })
		}
		steps.Wait()
		if t.Failed() {
			return
		}
	}
	var median [2]time.Duration
	for i, how := range []string{"pushed", "polled"} {
		took := gauges[i].took(t, began, out+in)
		t.Logf("%s: %v", how, took)
		town.figures.spread("decision to spec.replicas, "+how, took)
		if len(took) > 0 {
			median[i] = quantile(slices.Sorted(slices.Values(took)), 0.5)
		}
	}
	// Loose, so that a busy machine does not fail: pushed is a tenth of a second on a quiet one, polled some ten seconds.
	if median[0] > pushedAtMost || median[0] > median[1]/2 {
		t.Errorf("half of the pushed decisions took more than %s, of the polled ones %s: pushing is broken", rounded(median[0]), rounded(median[1]))
	}
}

// pushedAtMost is what half of the pushed decisions must stay below.
const pushedAtMost = 2 * time.Second

// Fifty fleets at once, pushed: who has many fleets waits no longer.
func TestFullDecisionToReplicasOfFiftyFleets(t *testing.T) {
	const fleets, rounds = 50, 2
	s := town.cluster.stage(t)
	var gauges []*gauge
	for i := range fleets {
		p := s.puppets(t, fmt.Sprintf("many%02d", i), plan{min: 2, max: 10, trigger: quick()})
		p.carries(clientsFor(2))
		gauges = append(gauges, p.gauge(t))
	}
	for _, g := range gauges {
		g.band.plays(t, 2)
	}
	all := func(name string, within time.Duration) {
		t.Helper()
		began := time.Now()
		var steps sync.WaitGroup
		for _, g := range gauges {
			steps.Go(func() {
				for range rounds {
					stagger(t, 0, within)
					g.step(t, 1)
				}
			})
		}
		steps.Wait()
		var took []time.Duration
		for _, g := range gauges {
			took = append(took, g.took(t, began, rounds)...)
		}
		town.figures.spread(name, took)
	}
	all("decision to spec.replicas, pushed, 50 fleets", 40*time.Second)
	if !t.Failed() {
		all("decision to spec.replicas, pushed, 50 fleets in the same second", time.Second)
	}
}

// With tolerance 0 a step of one node lands in a fleet of twenty, out and in.
func TestFullStepOfOneInTwenty(t *testing.T) {
	s := town.cluster.stage(t)
	p := s.puppets(t, "twenty", plan{min: 2, max: 30, trigger: quick(), deployment: func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(20)) }})
	p.carries(clientsFor(20))
	g := p.gauge(t)
	p.plays(t, 20)
	for _, by := range []int{1, -1, -1} {
		before, err := p.replicas(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		g.step(t, by)
		p.has(t, before+by, time.Second)
		p.plays(t, before+by)
		town.figures.note(fmt.Sprintf("%s: %d to %d", t.Name(), before, before+by), g.took(t, began, 1))
	}
	if d, err := p.decision(t.Context()); err != nil || d.Desired != 19 {
		t.Errorf("decided %d, %v", d.Desired, err)
	}
}
