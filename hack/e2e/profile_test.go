//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// widenedWords are a decision's own: the step is dead without a tolerance of 0 and was served wider.
var widenedWords = regexp.MustCompile(`the HPA has no tolerance: served (\d+) so that the step lands`)

// Where the API server drops the tolerance, a step is served wider so that it lands, and the reason says so. On the way in
// the HPA takes no more than was decided although less is served. It needs the cluster's profile and overlay no-tolerance.
func TestProfileNoToleranceWidensTheStep(t *testing.T) {
	// calm is longer than the HPA waits before it takes another pod, and than it takes the balancer to see that.
	const calm = 40 * time.Second
	s := town.cluster.stage(t)
	p := s.puppets(t, "wide", plan{min: 2, max: 30, trigger: quick(), deployment: func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(20)) }})
	p.carries(clientsFor(20))
	p.plays(t, 20)
	p.intolerant(t)
	g := p.gauge(t)

	said, took := p.widened(t, 21, func(n int) bool { return n >= 21 })
	if said <= 21 {
		t.Errorf("served %d on the way to 21: that is no wider step", said)
	}
	always(t, calm, "the step out stays, and is no wider than was said", func() error {
		n, err := p.replicas(t.Context())
		if err == nil && (n < 21 || n > said) {
			err = fmt.Errorf("spec.replicas is %d, served was %d", n, said)
		}
		return err
	})
	now, err := p.replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	town.figures.note(t.Name()+": 20 to 21, served, landed within, replicas when calm", fmt.Sprintf("%d, %s, %d", said, rounded(took), now))

	p.plays(t, now)
	said, took = p.widened(t, 19, func(n int) bool { return n <= 19 })
	if said >= 19 {
		t.Errorf("served %d on the way to 19: that is no wider step", said)
	}
	always(t, calm, "the way in ends where it was decided", func() error { return p.at(t, 19) })
	if least := g.least(); least < 19 {
		t.Errorf("spec.replicas went down to %d, and 19 nodes were needed", least)
	}
	p.plays(t, 19)
	town.figures.note(fmt.Sprintf("%s: %d to 19, served, landed within", t.Name(), now), fmt.Sprintf("%d, %s", said, rounded(took)))
}

// widened brings the load for n nodes and waits until spec.replicas has come there. It returns the count farthest away
// that a decision said was served, which every such way needs.
func (p *puppets) widened(t *testing.T, n int, there func(int) bool) (served int, took time.Duration) {
	t.Helper()
	p.needs(t, n)
	took = eventually(t, 6*time.Minute, fmt.Sprintf("%d replicas land without tolerance", n), func() error {
		d, err := p.decision(t.Context())
		if err != nil {
			return err
		}
		if words := widenedWords.FindStringSubmatch(d.Note); words != nil {
			if count, err := strconv.Atoi(words[1]); err == nil && (served == 0 || there(count)) {
				served = count
			}
		}
		now, err := p.replicas(t.Context())
		if err == nil && !there(now) {
			err = fmt.Errorf("spec.replicas is %d, decided %d: %s", now, d.Desired, d.Note)
		}
		return err
	})
	if served == 0 {
		t.Errorf("%d replicas landed and no decision said that a wider step was served", n)
	}
	return served, took
}

// intolerant says that the API server has dropped the tolerance: elsewhere this story shows nothing.
func (b *band) intolerant(t *testing.T) {
	t.Helper()
	eventually(t, time.Minute, "KEDA makes the HPA of "+b.id.String(), func() error {
		list, err := b.c.kube.AutoscalingV2().HorizontalPodAutoscalers(b.id.Namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, hpa := range list.Items {
			if hpa.Spec.ScaleTargetRef.Name != b.id.Name {
				continue
			}
			if rules := hpa.Spec.Behavior.ScaleDown; rules.Tolerance != nil {
				t.Fatalf("this HPA has a tolerance of %s: run the story on the cluster's profile no-tolerance", rules.Tolerance)
			}
			return nil
		}
		return fmt.Errorf("none of %d HPAs scales it", len(list.Items))
	})
}

// least is the smallest replica count since the gauge began.
func (g *gauge) least() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	least := g.landed[0].replicas
	for _, l := range g.landed {
		least = min(least, l.replicas)
	}
	return least
}
