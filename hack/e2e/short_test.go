//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidegate/tidegate/internal/keys"
)

// The whole loop, out and in: load rises, a decision is made, KEDA tells the HPA, pods start and take clients; then the
// clients leave, the pod with the least to lose is stamped and leaves by its injected preStop, and nobody loses a message.
func TestShortLoadRisesAndFalls(t *testing.T) {
	c := town.cluster
	b := c.sockets(t, "rise", plan{min: 2, max: 6, trigger: quick()})
	clients := b.crowd(t, 60)

	began := time.Now()
	clients.want(t, 320)
	landed := b.has(t, 4, 3*time.Minute)
	town.figures.note(t.Name()+": clients came until spec.replicas was 4", landed)
	b.serves(t, 4)
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
	leavers := watch.leavers(t, 2)
	for _, leaver := range leavers {
		leaver.right(t)
		leaver.drained(t)
	}
	clients.connected(t, 100)
	clients.uncut(t, fell)
	clients.settle(t)
}

// A webhook that is down stops nothing: pods start, without the drain hook, and the fleet scales.
func TestShortWebhookDown(t *testing.T) {
	c := town.cluster
	b := c.sockets(t, "nohook", plan{min: 2, max: 6, trigger: quick()})
	clients := b.crowd(t, 60)

	c.stop(t, namespace, webhookName)
	began := time.Now()
	clients.want(t, 230)
	b.has(t, 3, 3*time.Minute)
	b.serves(t, 3)
	town.figures.note(t.Name()+": clients came until the third node served without a webhook", time.Since(began))
	clients.want(t, 100)
	b.has(t, 2, 3*time.Minute)

	c.resume(t, namespace, webhookName)
	clients.connected(t, 100)
	clients.settle(t)
	b.serves(t, 2)
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
	cut := time.Now()
	if out, err := c.kubectl(t.Context(), "scale", "deployment/"+b.id.Name, "-n", b.id.Namespace, "--replicas=2"); err != nil {
		t.Fatal(err, out)
	}
	eventually(t, 2*time.Minute, "the four pods are gone", func() error {
		pods, err := c.kube.CoreV1().Pods(b.id.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + b.id.Name})
		if err == nil && len(pods.Items) > 2 {
			err = fmt.Errorf("%d of %d pods are there", len(pods.Items), len(before))
		}
		return err
	})
	town.figures.note(t.Name()+": cut until the pods were gone, of 30 s grace", time.Since(cut))
	// What a killed process had not said by now it never will.
	ends := clients.taps.since(cut)
	resume()
	back := time.Now()
	clients.connected(t, 240)
	town.figures.note(t.Name()+": Redis answered until every client was back", time.Since(back))

	for _, e := range ends {
		if e.cut() || !e.left && e.code != 1012 || !e.told {
			t.Errorf("a session of a node that was killed was not told where and when to return: %s", e)
		}
	}
	clients.uncut(t, cut)
	clients.settle(t)
	b.serves(t, 2)
}
