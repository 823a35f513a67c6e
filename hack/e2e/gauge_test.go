//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/tidegate/tidegate/balancer/decisions"
	"github.com/tidegate/tidegate/internal/decision"
)

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
	jobs.Go(func() { g.hear(ctx, p.stage.decisions) })
	t.Cleanup(func() {
		cancel()
		events.Stop()
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

// landings is how long each decision since then took to land, in the order of the decisions: until spec.replicas was what
// it said, or what a later one said. Those that have not landed are missing.
func (g *gauge) landings(since time.Time) (times []time.Duration, missing, late []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, sequence := range slices.Sorted(maps.Keys(g.decided)) {
		d := g.decided[sequence]
		if d.At.Before(since) {
			continue
		}
		if g.there(d) {
			continue // an earlier one was taken back before anybody acted on it
		}
		what := fmt.Sprintf("%s: decision %d for %d at %s", g.band.id, sequence, d.Desired, d.At.Format("15:04:05.000"))
		i := slices.IndexFunc(g.landed, func(l landing) bool { return l.at.After(d.At) && g.said(l.replicas, sequence) })
		if i < 0 {
			missing = append(missing, what+" has not landed")
			continue
		}
		took := g.landed[i].at.Sub(d.At)
		times = append(times, took)
		if took > slow {
			late = append(late, fmt.Sprintf("%s landed as %d after %s: %s", what, g.landed[i].replicas, rounded(took), d.Note))
		}
	}
	return times, missing, late
}

// there reports whether spec.replicas was what the decision says when it was made; the caller holds the lock.
func (g *gauge) there(d decision.Decision) bool {
	now := 0
	for _, l := range g.landed {
		if !l.at.After(d.At) {
			now = l.replicas
		}
	}
	return now == d.Desired
}

// took is how long the decisions since then took to land: at least so many of them must have. One may be missing that a
// later one overtook before anybody acted on it; it is named.
func (g *gauge) took(t *testing.T, since time.Time, least int) []time.Duration {
	t.Helper()
	const within = 3 * time.Second // the gauge hears of a landing a moment after a story sees it
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	var times []time.Duration
	var missing, late []string
	_ = poll(ctx, func() error { // what is still missing then is said below
		times, missing, late = g.landings(since)
		if len(times) < least || len(missing) > 0 {
			return errors.New("not all have landed")
		}
		return nil
	})
	for _, line := range append(late, missing...) {
		t.Log(line)
	}
	if len(times) < least {
		t.Errorf("%d decisions of %s landed: want %d; missing: %q", len(times), g.band.id, least, missing)
	}
	return times
}

// slow is what a pushed decision should never take; such ones are named.
const slow = time.Second

// said reports whether this decision or a later one is for so many replicas; the caller holds the lock.
func (g *gauge) said(replicas int, from uint64) bool {
	for sequence, d := range g.decided {
		if sequence >= from && d.Desired == replicas {
			return true
		}
	}
	return false
}

// step changes the load by what one node carries, out or in, and waits until the decision that follows has landed.
func (g *gauge) step(t *testing.T, by int) {
	t.Helper()
	var before decision.Decision
	eventually(t, time.Minute, "something is decided for "+g.band.id.String(), func() (err error) {
		before, err = g.band.decision(t.Context())
		return err
	})
	n := before.Desired + by
	g.band.needs(t, n)
	eventually(t, 3*time.Minute, fmt.Sprintf("a decision for about %d replicas of %s lands", n, g.band.id), func() error {
		d, err := g.band.decision(t.Context())
		if err != nil {
			return err
		}
		if d.Sequence == before.Sequence {
			return fmt.Errorf("it is still %d (%s, limited by %q)", d.Desired, d.Note, d.LimitedBy)
		}
		return g.band.at(t, d.Desired)
	})
}
