//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/tidegate/tidegate/balancer/decisions"
	"github.com/tidegate/tidegate/internal/decision"
)

// perPod is the connectionsPerPod of quick fleets, margin the factor that the policy puts on the load, and hysteresis the
// part of what would stay that a need must be below before a node leaves.
const perPod, margin, hysteresis = 100, 1.1, 0.93

// clientsFor is a load that a fleet grows to n nodes for.
func clientsFor(n int) int { return int((float64(n) - 0.3) * perPod / margin) }

// clientsLeft is a load that a fleet shrinks to n nodes for, and no further.
func clientsLeft(n int) int { return int((hysteresis*float64(n) - 0.2) * perPod / margin) }

// gauge measures how long the band's decisions take until they are spec.replicas.
type gauge struct {
	band *puppets

	mu      sync.Mutex
	decided map[uint64]decision.Decision
	landed  []landing
}

type landing struct {
	replicas int
	at       time.Time
}

// gauge begins to measure: decisions by their own time, replicas as the API server tells of them.
func (p *puppets) gauge(t *testing.T) *gauge {
	t.Helper()
	g := &gauge{band: p, decided: map[uint64]decision.Decision{}}
	ctx, cancel := context.WithCancel(context.Background())
	follower := decisions.Follow(ctx, p.c.redis, time.Second, time.Second, slog.New(slog.DiscardHandler))
	events, err := p.c.kube.AppsV1().Deployments(p.id.Namespace).Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", p.id.Name).String(),
	})
	if err != nil {
		t.Fatalf("watch %s: %v", p.id, err)
	}
	var jobs sync.WaitGroup
	jobs.Go(func() {
		for event := range events.ResultChan() {
			if d, ok := event.Object.(*appsv1.Deployment); ok {
				g.land(int(*d.Spec.Replicas))
			}
		}
	})
	jobs.Go(func() { g.hear(ctx, follower) })
	t.Cleanup(func() {
		cancel()
		events.Stop()
		follower.Wait()
		jobs.Wait()
	})
	return g
}

func (g *gauge) land(replicas int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := len(g.landed); n > 0 && g.landed[n-1].replicas == replicas {
		return
	}
	g.landed = append(g.landed, landing{replicas, time.Now()})
}

func (g *gauge) hear(ctx context.Context, follower *decisions.Follower) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		changed := follower.Changed(g.band.id)
		if d, _, ok := follower.Latest(g.band.id); ok {
			g.mu.Lock()
			if _, known := g.decided[d.Sequence]; !known {
				g.decided[d.Sequence] = d
			}
			g.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-ticker.C: // a fleet that is new gets its feed meanwhile
		}
	}
}

// took is how long the newest decision for n replicas took to land; false while it has not.
func (g *gauge) took(n int) (time.Duration, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var newest decision.Decision
	for _, d := range g.decided {
		if d.Sequence > newest.Sequence {
			newest = d
		}
	}
	if newest.Desired != n {
		return 0, false
	}
	for _, l := range g.landed {
		if l.replicas == n && l.at.After(newest.At) {
			return l.at.Sub(newest.At), true
		}
	}
	return 0, false
}

// errNotMeasured says that the count is right and the way there was not seen.
var errNotMeasured = errors.New("the landing was not seen yet")

// step asks for n nodes by load and waits until they are asked of Kubernetes.
func (g *gauge) step(t *testing.T, n int) time.Duration {
	t.Helper()
	g.band.needs(t, n)
	var took time.Duration
	eventually(t, 3*time.Minute, fmt.Sprintf("a decision for %d replicas of %s lands", n, g.band.id), func() error {
		var ok bool
		if took, ok = g.took(n); !ok {
			d, err := g.band.decision(t.Context())
			if err != nil {
				return err
			}
			return fmt.Errorf("decided %d (%s, limited by %q), and %w", d.Desired, d.Note, d.LimitedBy, cmp.Or(g.band.at(t, n), errNotMeasured))
		}
		return nil
	})
	return took
}

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

// walk is twenty decisions by one node each, out and in.
func walk() []int {
	return []int{3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2}
}

// Twenty decisions, pushed and polled side by side.
func TestFullDecisionToReplicas(t *testing.T) {
	s := town.cluster.stage(t)
	pushed := s.puppets(t, "pushed", plan{min: 2, max: 20, trigger: quick()})
	polled := s.puppets(t, "polled", plan{min: 2, max: 20, trigger: quick(), kind: "external"})
	var took [2][]time.Duration
	gauges := [2]*gauge{pushed.gauge(t), polled.gauge(t)}
	for _, g := range gauges {
		g.band.carries(clientsFor(2))
		g.band.plays(t, 2)
	}
	for _, n := range walk() {
		stagger(t, time.Second, 6*time.Second)
		var steps sync.WaitGroup
		for i, g := range gauges {
			steps.Go(func() { took[i] = append(took[i], g.step(t, n)) })
		}
		steps.Wait()
		if t.Failed() {
			return
		}
		t.Logf("%d replicas: pushed %s, polled %s", n, rounded(took[0][len(took[0])-1]), rounded(took[1][len(took[1])-1]))
		pushed.plays(t, n)
		polled.plays(t, n)
	}
	town.figures.spread("decision to spec.replicas, pushed", took[0])
	town.figures.spread("decision to spec.replicas, polled", took[1])
}

// Fifty fleets at once, pushed: who has many fleets waits no longer.
func TestFullDecisionToReplicasOfFiftyFleets(t *testing.T) {
	const fleets, rounds = 50, 2
	s := town.cluster.stage(t)
	var gauges []*gauge
	for i := range fleets {
		p := s.puppets(t, fmt.Sprintf("many%02d", i), plan{min: 2, max: 6, trigger: quick()})
		p.carries(clientsFor(2))
		gauges = append(gauges, p.gauge(t))
	}
	for _, g := range gauges {
		g.band.plays(t, 2)
	}
	var mu sync.Mutex
	var took []time.Duration
	for round := range rounds {
		var steps sync.WaitGroup
		for _, g := range gauges {
			steps.Go(func() {
				stagger(t, 0, 40*time.Second)
				d := g.step(t, 3+round)
				mu.Lock()
				defer mu.Unlock()
				took = append(took, d)
			})
		}
		steps.Wait()
		if t.Failed() {
			return
		}
	}
	town.figures.spread("decision to spec.replicas, pushed, 50 fleets", took)

	took = nil
	var burst sync.WaitGroup
	for _, g := range gauges {
		burst.Go(func() {
			d := g.step(t, 5)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, d)
		})
	}
	burst.Wait()
	town.figures.spread("decision to spec.replicas, pushed, 50 fleets in the same second", took)
}

// With tolerance 0 a step of one node lands in a fleet of twenty, out and in.
func TestFullStepOfOneInTwenty(t *testing.T) {
	s := town.cluster.stage(t)
	p := s.puppets(t, "twenty", plan{min: 2, max: 30, trigger: quick(), deployment: func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(20)) }})
	p.carries(clientsFor(20))
	g := p.gauge(t)
	p.plays(t, 20)
	for _, n := range []int{21, 20, 19} {
		took := g.step(t, n)
		p.plays(t, n)
		town.figures.note(fmt.Sprintf("%s: to %d", t.Name(), n), took)
	}
	if d, err := p.decision(t.Context()); err != nil || d.Desired != 19 {
		t.Errorf("decided %d, %v", d.Desired, err)
	}
}

// Where the API server drops the tolerance, the step is widened so that it lands, and the reason says so.
func TestProfileNoToleranceWidensTheStep(t *testing.T) {
	s := town.cluster.stage(t)
	p := s.puppets(t, "wide", plan{min: 2, max: 30, trigger: quick(), deployment: func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(20)) }})
	p.carries(clientsFor(20))
	p.plays(t, 20)
	for _, n := range []int{21, 19} {
		p.needs(t, n)
		said := ""
		took := eventually(t, 4*time.Minute, fmt.Sprintf("%d replicas land without tolerance", n), func() error {
			d, err := p.decision(t.Context())
			if err != nil {
				return err
			}
			if d.Desired != n {
				said = d.Note
			}
			return p.at(t, n)
		})
		t.Logf("%d replicas: %s", n, said)
		town.figures.note(fmt.Sprintf("%s: to %d, of which the reason said", t.Name(), n), fmt.Sprintf("%s: %s", rounded(took), said))
		p.plays(t, n)
	}
}
