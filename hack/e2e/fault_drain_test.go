//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tidegate/tidegate/internal/keys"
)

// one lets one pod surge and none be missing.
func one(d *appsv1.Deployment) {
	d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{
		MaxSurge: new(intstr.FromInt32(1)), MaxUnavailable: new(intstr.FromInt32(0)),
	}}
}

// A rollout leaves the desired count where it was: the pod that surges is nobody's wish.
func TestFullARolloutLeavesTheCount(t *testing.T) {
	p := town.cluster.stage(t).puppets(t, "rollout", plan{min: 2, max: 16, trigger: quick(), deployment: one})
	p.carries(clientsFor(10))
	p.has(t, 10, 3*time.Minute)
	p.plays(t, 10)
	flat := p.flat(t, 10)
	began := time.Now()
	p.restart(t)
	p.rolled(t)
	town.figures.note(t.Name()+": ten nodes replaced", time.Since(began))
	p.plays(t, 10)
	if d, err := p.decision(t.Context()); err != nil || d.Desired != 10 {
		t.Errorf("decided %d after the rollout (%v)", d.Desired, err)
	}
	flat()
}

// restart replaces every pod, as `kubectl rollout restart` does.
func (b *band) restart(t *testing.T) {
	t.Helper()
	if out, err := b.c.kubectl(t.Context(), "rollout", "restart", "-n", b.id.Namespace, "deployment/"+b.id.Name); err != nil {
		t.Fatal(err, out)
	}
}

// rolled waits for the rollout's end.
func (b *band) rolled(t *testing.T) {
	t.Helper()
	eventually(t, 8*time.Minute, "the rollout of "+b.id.String()+" ends", func() error {
		d, err := b.c.kube.AppsV1().Deployments(b.id.Namespace).Get(t.Context(), b.id.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		s, want := d.Status, *d.Spec.Replicas
		if s.ObservedGeneration < d.Generation || s.UpdatedReplicas != want || s.Replicas != want || s.AvailableReplicas != want {
			return fmt.Errorf("%d pods, %d new ones, %d available: %d are wanted", s.Replicas, s.UpdatedReplicas, s.AvailableReplicas, want)
		}
		return nil
	})
}

// A rollout in the middle of a drain: the pace is kept, and nobody loses anything.
func TestFaultRolloutDuringADrain(t *testing.T) {
	b := town.cluster.sockets(t, "rolling", plan{min: 4, max: 6, trigger: quick(), deployment: one})
	clients := b.crowd(t, 200)
	b.alone(t)
	began := time.Now()
	b.scale(t, 3)
	b.restart(t)
	pace := clients.pace(t)
	b.rolled(t)
	b.settled(t, 3)
	town.figures.note(t.Name()+": busiest second, connections made", pace())
	town.figures.note(t.Name()+": one node drained and three replaced", time.Since(began))
	clients.connected(t, 200)
	clients.uncut(t, began)
	clients.settle(t)
}

// pace counts connections by the second; the returned function is the busiest one's count.
func (c *crowd) pace(t *testing.T) func() int {
	t.Helper()
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		most, last := uint64(0), c.swarm.Stats().Connects
		for {
			select {
			case <-stop:
				done <- int(most)
				return
			case <-ticker.C:
				now := c.swarm.Stats().Connects
				most, last = max(most, now-last), now
			}
		}
	}()
	return func() int {
		close(stop)
		return <-done
	}
}

// Five seconds of grace and no peer that answers: every session is told before the kill.
func TestFaultGracePeriodTooShort(t *testing.T) {
	c := town.cluster
	b := c.sockets(t, "short", plan{min: 3, max: 4, trigger: quick(), pod: func(p *corev1.PodTemplateSpec) {
		p.Annotations[keys.AnnotationKeepGrace] = "true"
		p.Spec.TerminationGracePeriodSeconds = new(int64(5))
	}})
	clients := b.crowd(t, 150)
	b.alone(t)
	pods := b.pods(t)
	victim, peers := pods[0], pods[1:]
	held := clients.taps.held()[victim.Name]
	c.cordon(t, victim.Spec.NodeName)
	t.Cleanup(func() { c.wake(peers) })
	c.signal(t, syscall.SIGSTOP, peers...)
	began := time.Now()
	if err := c.kube.CoreV1().Pods(victim.Namespace).Delete(t.Context(), victim.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the pod is gone", func() error {
		_, err := c.kube.CoreV1().Pods(victim.Namespace).Get(t.Context(), victim.Name, metav1.GetOptions{})
		if err == nil {
			return errors.New("it is still there")
		}
		return nil
	})
	town.figures.note(t.Name()+": deleted until gone, of 5 s grace", time.Since(began))
	ends := clients.taps.since(began)
	c.wake(peers)
	c.uncordon(t, victim.Spec.NodeName)
	told := 0
	for _, e := range ends {
		switch {
		case e.arrival.node != victim.Name:
		case e.told && (e.code == 1012 || e.left && e.code == 0):
			told++
		default:
			t.Errorf("a session was not told before the kill: %s", e)
		}
	}
	if held == 0 || told < held {
		t.Errorf("%d sessions of the node were told to return before it was gone: it held %d", told, held)
	}
	clients.connected(t, 150)
	clients.settle(t)
}

// cordon keeps new pods off a node, so that nobody replaces the one that leaves; the end of the story lifts it, too.
func (c *cluster) cordon(t *testing.T, node string) {
	t.Helper()
	if out, err := c.kubectl(t.Context(), "cordon", node); err != nil {
		t.Fatal(err, out)
	}
	t.Cleanup(func() { c.uncordon(t, node) })
}

func (c *cluster) uncordon(t *testing.T, node string) {
	t.Helper()
	ctx, cancel := deadline(time.Minute)
	defer cancel()
	if out, err := c.kubectl(ctx, "uncordon", node); err != nil {
		t.Error(err, out)
	}
}
