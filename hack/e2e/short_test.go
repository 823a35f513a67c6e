//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
)

// The whole loop, out and in: load rises, a decision is made, KEDA tells the HPA, pods start and take clients; then the
// clients leave, the pod with the least to lose is stamped and leaves by its injected preStop, and nobody loses a message.
func TestShortLoadRisesAndFalls(t *testing.T) {
	c := town.cluster
	b := c.sockets(t, "rise", plan{min: 2, max: 6, trigger: quick()})
	clients := b.crowd(t, 60)

	began := time.Now()
	clients.swarm.Want(320, talk)
	b.has(t, 4, 3*time.Minute)
	town.figures.note(t.Name()+": clients came until spec.replicas was 4", time.Since(began))
	b.serves(t, 4)
	clients.connected(t, 320)
	town.figures.note(t.Name()+": clients came until 4 nodes served", time.Since(began))
	eventually(t, 2*time.Minute, "every node takes clients", func() error {
		s, err := b.status(t.Context())
		if err != nil {
			return err
		}
		for _, row := range s.Nodes {
			if row.Connections == 0 || row.Shards == 0 {
				return fmt.Errorf("node %s has %d clients and %d shards", row.ID, row.Connections, row.Shards)
			}
		}
		return nil
	})

	watch := b.watch(t)
	fell := time.Now()
	clients.want(t, 100)
	b.has(t, 3, 3*time.Minute)
	b.has(t, 2, 3*time.Minute)
	town.figures.note(t.Name()+": clients left until spec.replicas was 2", time.Since(fell))
	b.serves(t, 2)
	var left []string
	for _, leaver := range watch.leavers(t, 2) {
		leaver.right(t)
		leaver.drained(t)
		left = append(left, leaver.pod.Name)
	}
	clients.connected(t, 100)
	clients.uncut(t, fell)
	clients.resumed(t, fell, left...)
	clients.settle(t)
}

// A webhook that is down stops nothing: pods start, without the drain hook, and the fleet scales.
func TestShortWebhookDown(t *testing.T) {
	c := town.cluster
	b := c.sockets(t, "nohook", plan{min: 2, max: 6, trigger: quick()})
	hooked := b.pods(t)
	clients := b.crowd(t, 60)
	failed := c.failedOpen(t)

	restore := c.close(t, namespace, webhookName)
	began := time.Now()
	clients.want(t, 230)
	b.has(t, 3, 3*time.Minute)
	b.serves(t, 3)
	town.figures.note(t.Name()+": clients came until the third node served without a webhook", time.Since(began))
	for _, pod := range b.pods(t) {
		old := slices.ContainsFunc(hooked, func(p corev1.Pod) bool { return p.Name == pod.Name })
		if injected(&pod) != old {
			t.Errorf("%s was there before: %v, has a hook and a nonce: %v", pod.Name, old, injected(&pod))
		}
	}
	clients.want(t, 100)
	b.has(t, 2, 3*time.Minute)
	if n := c.failedOpen(t); n <= failed {
		t.Errorf("the API server let %d calls of the webhook fail: it was not down", n-failed)
	}

	restore()
	clients.connected(t, 100)
	clients.settle(t)
	b.serves(t, 2)
	eventually(t, time.Minute, "pods get their hook again", func() error {
		pod := c.admit(t, namespace, func(*corev1.Pod) {}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if !injected(pod) {
			return errors.New("it has none")
		}
		return nil
	})
}

// close takes every pod of a Deployment away, by hand; the returned function brings them back, and so does the story's end.
func (c *cluster) close(t *testing.T, space, deployment string) (restore func()) {
	t.Helper()
	n := c.replicasOf(t, space, deployment)
	back := sync.OnceFunc(func() { c.setReplicas(t, space, deployment, n) })
	t.Cleanup(func() {
		back()
		c.mended(t, space, deployment)
	})
	c.setReplicas(t, space, deployment, 0)
	eventually(t, 2*time.Minute, "nothing of "+deployment+" is left", func() error {
		pods, err := c.kube.CoreV1().Pods(space).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + deployment})
		if err == nil && len(pods.Items) > 0 {
			err = fmt.Errorf("%d pods are there", len(pods.Items))
		}
		return err
	})
	return func() {
		t.Helper()
		back()
		c.available(t, space, deployment)
	}
}

// injected says that a pod got the drain hook and its nonce.
func injected(pod *corev1.Pod) bool {
	h := hook(pod)
	return h != nil && h.HTTPGet != nil && h.HTTPGet.Path == keys.PathDrain && slices.ContainsFunc(pod.Spec.Containers[0].Env, func(e corev1.EnvVar) bool {
		return e.Name == keys.EnvDrainNonce && e.Value != ""
	})
}

// The headline: four of six replicas are cut by hand while Redis stands still, with 30 s of grace. A safety check that
// waits for Redis would eat the grace period and every session of four nodes would be cut without a word.
func TestShortHeadline(t *testing.T) {
	c := town.cluster
	b := c.sockets(t, "headline", plan{min: 6, max: 8, trigger: quick(), pod: func(p *corev1.PodTemplateSpec) {
		p.Annotations[keys.AnnotationKeepGrace] = "true"
		grace := int64(30)
		p.Spec.TerminationGracePeriodSeconds = &grace
	}})
	clients := b.crowd(t, 240)
	b.alone(t)
	before := b.pods(t)

	redis := component{c, "redis"}
	resume := redis.pause(t)
	held, cut := clients.taps.held(), time.Now()
	if out, err := c.kubectl(t.Context(), "scale", "deployment/"+b.id.Name, "-n", b.id.Namespace, "--replicas=2"); err != nil {
		t.Fatal(err, out)
	}
	var left []string
	eventually(t, 2*time.Minute, "the four pods are gone", func() error {
		pods, err := c.kube.CoreV1().Pods(b.id.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + b.id.Name})
		if err == nil && len(pods.Items) > 2 {
			err = fmt.Errorf("%d of %d pods are there", len(pods.Items), len(before))
		}
		left = missing(before, pods)
		return err
	})
	town.figures.note(t.Name()+": cut until the pods were gone, of 30 s grace", time.Since(cut))
	// What a killed process had not said by now it never will.
	ends := clients.taps.since(cut)
	resume()
	back := time.Now()
	clients.connected(t, 240)
	town.figures.note(t.Name()+": Redis answered until every client was back", time.Since(back))

	if len(left) != 4 {
		t.Errorf("%d pods left: %v", len(left), left)
	}
	sessions, told := 0, 0
	for _, name := range left {
		sessions += held[name]
	}
	for _, e := range ends {
		switch {
		case !slices.Contains(left, e.arrival.node):
		case e.told && (e.code == 1012 || e.left && e.code == 0):
			told++ // one that had moved before its turn to be closed came was told as well
		default:
			t.Errorf("a session of a node that was killed was not told where and when to return: %s", e)
		}
	}
	if sessions == 0 || told < sessions {
		t.Errorf("%d sessions of the four nodes were told to return: they held %d", told, sessions)
	}
	town.figures.note(t.Name()+": sessions of the four nodes before the cut, told by them", fmt.Sprintf("%d, %d", sessions, told))
	clients.uncut(t, cut)
	clients.resumed(t, cut, left...)
	clients.settle(t)
	b.serves(t, 2)
}

// missing are the names of the pods that are not there any more.
func missing(before []corev1.Pod, now *corev1.PodList) []string {
	var names []string
	for _, pod := range before {
		if now != nil && !slices.ContainsFunc(now.Items, func(p corev1.Pod) bool { return p.Name == pod.Name }) {
			names = append(names, pod.Name)
		}
	}
	return names
}

// Through the gateway, by the node's name and nothing else: a node of the shipped fleet is evicted, as for a machine's
// upgrade, and its clients go on elsewhere, by the gateway again.
func TestShortThroughTheGateway(t *testing.T) {
	c := town.cluster
	b := &band{c: c, id: fleet.ID{Namespace: namespace, Name: socketName}}
	b.serves(t, 2)
	clients := b.crowdBy(t, 60, gateway, c.throughTheGateway)
	clients.flow(t, 60)
	held := clients.taps.held()
	victim := b.pods(t)[0]
	began := time.Now()
	w := b.watch(t)
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: victim.Name, Namespace: victim.Namespace}}
	if err := c.kube.CoreV1().Pods(victim.Namespace).EvictV1(t.Context(), eviction); err != nil {
		t.Fatal(err)
	}
	w.leavers(t, 1)[0].drained(t)
	b.serves(t, 2)
	town.figures.note(t.Name()+": evicted until its successor served", time.Since(began))
	clients.connected(t, 60)
	clients.uncut(t, began)
	clients.resumed(t, began, victim.Name)
	clients.settle(t)
	if len(held) != 2 {
		t.Errorf("the clients were on %v: want both nodes", held)
	}
	for address := range clients.taps.addresses() {
		if !strings.HasPrefix(address, gatewayName+".") {
			t.Errorf("a client went past the gateway, to %s", address)
		}
	}
}
