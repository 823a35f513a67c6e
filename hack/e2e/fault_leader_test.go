//go:build e2e

package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
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
	c.signal(t, syscall.SIGKILL, p.leader(t))
	gap := eventually(t, 2*time.Minute, "another leader decides", func() error {
		d, err := p.decision(t.Context())
		if err == nil && d.Fence <= before.Fence {
			err = fmt.Errorf("the fence is still %d", d.Fence)
		}
		return err
	})
	town.figures.note(t.Name()+": killed until the next leader decided (the lease is 6 s)", gap)
	c.available(t, namespace, balancerName)
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
	eventually(t, time.Minute, "another leader decides", func() error {
		d, err := p.decision(t.Context())
		if err == nil && d.Fence <= before.Fence {
			err = fmt.Errorf("the fence is still %d", d.Fence)
		}
		return err
	})
	p.carries(clientsFor(6))
	p.has(t, 6, 3*time.Minute)
	newest, err := p.decision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	flat := p.flat(t, 6)
	c.wake([]corev1.Pod{old})
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
