//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidegate/tidegate/balancer/decisions"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fenced"
)

// leader is the balancer's pod that leads.
func (b *band) leader(t *testing.T) corev1.Pod {
	t.Helper()
	var found corev1.Pod
	eventually(t, time.Minute, "a balancer leads", func() error {
		s, err := b.status(t.Context())
		if err != nil {
			return err
		}
		pods, err := b.c.podsOf(t.Context(), namespace, balancerName)
		if err != nil {
			return err
		}
		for _, pod := range pods {
			if pod.Name == s.Leader {
				found = pod
				return nil
			}
		}
		return fmt.Errorf("the leader is %q", s.Leader)
	})
	return found
}

// The leader dies: another one takes over, with a higher fence and the same decision.
func TestFaultLeaderKilled(t *testing.T) {
	c := town.cluster
	p := grown(t, "leader", 5)
	flat := p.flat(t, 5)
	before, err := p.decision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	revived := c.killPods(t, p.leader(t))
	gap := eventually(t, 2*time.Minute, "another leader decides", func() error {
		d, err := p.decision(t.Context())
		if err == nil && d.Fence <= before.Fence {
			err = fmt.Errorf("the fence is still %d", d.Fence)
		}
		return err
	})
	town.figures.note(t.Name()+": killed until the next leader decided (the lease is 6 s)", gap)
	revived()
	if after, err := p.decision(t.Context()); err != nil || after.Desired != before.Desired {
		t.Errorf("the new leader decided %d (%v), the old one %d", after.Desired, err, before.Desired)
	}
	flat()
	p.goesOn(t, 6)
}

// Two leaders: the old one was stopped past its lease. What it writes when it wakes is refused.
func TestFaultTwoLeaders(t *testing.T) {
	c := town.cluster
	p := grown(t, "leaders", 5)
	before, err := p.decision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	old := p.leader(t)
	c.signal(t, syscall.SIGSTOP, old)
	t.Cleanup(func() { c.wake([]corev1.Pod{old}) })
	gap := eventually(t, time.Minute, "another leader decides", func() error {
		d, err := p.decision(t.Context())
		if err == nil && d.Fence <= before.Fence {
			err = fmt.Errorf("the fence is still %d", d.Fence)
		}
		return err
	})
	town.figures.note(t.Name()+": leader stopped until the other replica decided (the lease is 6 s)", gap)
	p.carries(clientsFor(6))
	p.has(t, 6, 3*time.Minute)
	newest, err := p.decision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	flat := p.flat(t, 6)
	c.frozen(t, old)
	woken := time.Now()
	c.wake([]corev1.Pod{old})
	p.refused(t, before)
	eventually(t, 30*time.Second, "the old leader finds out that it leads no more", func() error { return c.abdicated(t.Context(), old, woken) })
	always(t, 15*time.Second, "the old leader's word does not count", func() error {
		d, err := p.decision(t.Context())
		if err == nil && (d.Fence < newest.Fence || d.Desired != 6) {
			err = fmt.Errorf("decision %d of fence %d stands, after %d of %d", d.Desired, d.Fence, newest.Desired, newest.Fence)
		}
		return err
	})
	flat()
	c.available(t, namespace, balancerName)
}

// frozen says that this pod's container is still the one that was stopped: the kubelet starts one anew that does not answer
// for long, and that one has no old leader's memory.
func (c *cluster) frozen(t *testing.T, pod corev1.Pod) {
	t.Helper()
	now, err := c.kube.CoreV1().Pods(pod.Namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if restarts(now) != restarts(&pod) {
		t.Fatalf("%s was started anew: no old leader is left to wake", pod.Name)
	}
}

// refused writes an old decision again under its own fence, as the leader of that time would: it must not be taken.
func (b *band) refused(t *testing.T, old decision.Decision) {
	t.Helper()
	body, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	kind := decisions.Kind(time.Second, time.Second)
	const later = 1 << 20 // what an old leader decides has a higher number than all it has decided before
	err = fenced.NewCell(b.c.redis, kind.Key(b.id), kind.Timeout).Write(t.Context(), old.Fence, old.Sequence+later, body)
	if !errors.Is(err, fenced.ErrFenced) {
		t.Errorf("a decision of the old fence %d was written: %v", old.Fence, err)
	}
}

// abdicated says whether this balancer's log tells that its term is over: since a write of it was refused, or since it saw
// in time that its lease had run out.
func (c *cluster) abdicated(ctx context.Context, pod corev1.Pod, since time.Time) error {
	log, err := c.kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{SinceTime: &metav1.Time{Time: since}}).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("read the log of %s: %w", pod.Name, err)
	}
	for _, words := range []string{"this replica's term is over", "this replica leads no more"} {
		if bytes.Contains(log, []byte(words)) {
			town.figures.note("the old leader that woke said", words)
			return nil
		}
	}
	return fmt.Errorf("%s says nothing of the end of its term:\n%s", pod.Name, log)
}
