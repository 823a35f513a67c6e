//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
)

// flat watches spec.replicas: the returned function says whether it never left n.
func (b *band) flat(t *testing.T, n int) (check func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	events, err := b.c.kube.AppsV1().Deployments(b.id.Namespace).Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", b.id.Name).String(),
	})
	if err != nil {
		t.Fatalf("watch %s: %v", b.id, err)
	}
	var mu sync.Mutex
	var strayed []int
	var watching sync.WaitGroup
	watching.Go(func() {
		for event := range events.ResultChan() {
			if d, ok := event.Object.(*appsv1.Deployment); ok && int(*d.Spec.Replicas) != n {
				mu.Lock()
				strayed = append(strayed, int(*d.Spec.Replicas))
				mu.Unlock()
			}
		}
	})
	end := sync.OnceFunc(func() {
		cancel()
		events.Stop()
		watching.Wait()
	})
	t.Cleanup(end)
	return func() {
		t.Helper()
		if err := b.at(t, n); err != nil {
			t.Errorf("it should have stayed at %d: %v", n, err)
		}
		end()
		mu.Lock()
		defer mu.Unlock()
		if len(strayed) > 0 {
			t.Errorf("spec.replicas went to %v although nothing but %d was ever right", strayed, n)
		}
	}
}

// grown is a band of puppets that load has brought to n nodes.
func grown(t *testing.T, name string, n int) *puppets {
	t.Helper()
	p := town.cluster.stage(t).puppets(t, name, plan{min: 2, max: 12, trigger: quick()})
	p.carries(clientsFor(n))
	p.has(t, n, 3*time.Minute)
	p.plays(t, n)
	return p
}

// goesOn says that load is followed again.
func (p *puppets) goesOn(t *testing.T, n int) {
	t.Helper()
	p.carries(clientsFor(n))
	took := p.has(t, n, 5*time.Minute)
	town.figures.note(t.Name()+": afterwards, load to spec.replicas", took)
}

// While no scaler answers the HPA holds; when they are back it goes on.
func TestFaultScalersKilled(t *testing.T) {
	c := town.cluster
	p := grown(t, "scalers", 5)
	flat := p.flat(t, 5)
	for _, count := range []int{2, 1} {
		revived := c.kill(t, namespace, scalerName, count)
		always(t, 20*time.Second, "the HPA holds", func() error { return p.at(t, 5) })
		town.figures.note(fmt.Sprintf("%s: %d killed until all were seen ready, looked at after 20 s", t.Name(), count), revived())
	}
	flat()
	p.goesOn(t, 6)
}

// While the webhook is dead pods start and the fleet scales; the API server's own count says that the calls failed open.
func TestFaultWebhookKilled(t *testing.T) {
	c := town.cluster
	b := c.sockets(t, "webhook", plan{min: 2, max: 6, trigger: quick()})
	clients := b.crowd(t, 60)
	began := time.Now()
	clients.swarm.Want(230, talk)
	for {
		c.killAny(t, namespace, webhookName)
		if err := b.at(t, 3); err == nil {
			break
		}
		if time.Since(began) > 3*time.Minute {
			t.Fatal("a dead webhook kept the fleet from growing")
		}
		stagger(t, time.Second, 2*time.Second)
	}
	b.serves(t, 3)
	town.figures.note(t.Name()+": clients came until the third node served", time.Since(began))
	clients.connected(t, 230)
	c.available(t, namespace, webhookName)
	clients.settle(t)
}

// killAny kills whatever runs of a Deployment at the moment.
func (c *cluster) killAny(t *testing.T, space, deployment string) {
	t.Helper()
	pods, err := c.podsOf(t.Context(), space, deployment)
	if err != nil {
		t.Fatal(err)
	}
	for i := range pods {
		pids, err := processes(&pods[i])
		if err != nil {
			t.Fatal(err)
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
		}
	}
}

// KEDA's operator dies: the replicas stay, and afterwards the answer is the same.
func TestFaultKEDAKilled(t *testing.T) {
	c := town.cluster
	p := grown(t, "operator", 5)
	flat := p.flat(t, 5)
	town.figures.note(t.Name()+": killed until it is ready", c.kill(t, "keda", "keda-operator", 1)())
	always(t, 20*time.Second, "the answer is the same", func() error { return p.at(t, 5) })
	flat()
	p.goesOn(t, 6)
}

// Nobody decides any more: when the decision has expired the scaler says that it does not know, and KEDA's fallback keeps
// the replicas.
func TestFaultExpiredDecisionKeepsTheReplicas(t *testing.T) {
	c := town.cluster
	p := grown(t, "expired", 5)
	flat := p.flat(t, 5)
	pods, err := c.podsOf(t.Context(), namespace, balancerName)
	if err != nil {
		t.Fatal(err)
	}
	d := c.replicasOf(t, namespace, balancerName)
	t.Cleanup(func() { c.setReplicas(t, namespace, balancerName, d) })
	c.setReplicas(t, namespace, balancerName, 0)
	p.carries(clientsFor(2)) // a scaler that guessed would let the fleet shrink
	c.wake(pods)
	waited := eventually(t, 6*time.Minute, "KEDA falls back", func() error {
		object, err := c.dynamic.Resource(scaledObjects).Namespace(p.id.Namespace).Get(t.Context(), p.id.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return condition(object.Object, "Fallback", "True")
	})
	town.figures.note(t.Name()+": balancers gone until KEDA fell back (the decision lives 90 s)", waited)
	always(t, 20*time.Second, "the fallback keeps the replicas", func() error { return p.at(t, 5) })
	flat()
	c.setReplicas(t, namespace, balancerName, d)
	c.available(t, namespace, balancerName)
	p.carries(clientsFor(5))
	p.goesOn(t, 6)
}

func (c *cluster) replicasOf(t *testing.T, space, deployment string) int {
	t.Helper()
	scale, err := c.kube.AppsV1().Deployments(space).GetScale(t.Context(), deployment, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return int(scale.Spec.Replicas)
}

// setReplicas works also when the story is over.
func (c *cluster) setReplicas(t *testing.T, space, deployment string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if out, err := c.kubectl(ctx, "scale", "-n", space, "deployment/"+deployment, fmt.Sprintf("--replicas=%d", n)); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
