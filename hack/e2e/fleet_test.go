//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tidegate/tidegate/balancer/decisions"
	"github.com/tidegate/tidegate/balancer/page"
	"github.com/tidegate/tidegate/internal/beat"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fenced"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/shard"
)

// band is a fleet of one story: a Deployment, and mostly a ScaledObject of the same name that scales it.
type band struct {
	c  *cluster
	id fleet.ID
}

// plan says how a story's fleet differs from the shipped one.
type plan struct {
	min, max int64
	// trigger is laid over the shipped trigger's metadata; kind replaces the trigger's type.
	trigger map[string]string
	kind    string
	// pod changes the pod template.
	pod func(*corev1.PodTemplateSpec)
	// deployment changes the Deployment.
	deployment func(*appsv1.Deployment)
	// spec changes the ScaledObject's.
	spec func(map[string]any)
}

// quick are the settings with which a story does not wait minutes for a calm fleet to shrink, nor is a crowd that is sent
// home taken for an outage.
func quick() map[string]string {
	return map[string]string{"connectionsPerPod": "100", "scaleInDelay": "10s", "stormGuard": "false"}
}

// fresh is a name that no earlier run has used: Redis and Kafka remember fleets.
func fresh(name string) string {
	const letters = "bcdfghjklmnpqrstvwxz"
	suffix := make([]byte, 4)
	for i := range suffix {
		suffix[i] = letters[rand.IntN(len(letters))]
	}
	return name + "-" + string(suffix)
}

// remove takes the band out of the cluster, of Redis and of Kafka; after a failure it tells first how things stand.
func (b *band) remove(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if t.Failed() {
		b.tell(ctx, t)
	}
	now := metav1.DeletePropagationBackground
	gone := metav1.DeleteOptions{PropagationPolicy: &now}
	// The order matters: without its ScaledObject nobody scales a Deployment that is about to go.
	_ = b.c.dynamic.Resource(scaledObjects).Namespace(b.id.Namespace).Delete(ctx, b.id.Name, gone)
	_ = b.c.kube.AppsV1().Deployments(b.id.Namespace).Delete(ctx, b.id.Name, gone)
	_ = b.c.kube.CoreV1().Services(b.id.Namespace).Delete(ctx, b.id.Name, gone)
	kill := int64(0)
	_ = b.c.kube.CoreV1().Pods(b.id.Namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &kill}, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + b.id.Name})
	if err := poll(ctx, func() error {
		_, err := b.c.kube.AppsV1().Deployments(b.id.Namespace).Get(ctx, b.id.Name, metav1.GetOptions{})
		if err == nil {
			return fmt.Errorf("deployment %s is still there", b.id.Name)
		}
		return nil
	}); err != nil {
		t.Logf("clean up: %v", err)
	}
	_ = b.c.redis.SRem(ctx, keys.Fleets, b.id.String()).Err()
	_ = b.c.redis.Del(ctx, keys.Nodes(b.id)).Err()
	b.c.forgetTopic(b.id)
}

// replicas is spec.replicas now.
func (b *band) replicas(ctx context.Context) (int, error) {
	scale, err := b.c.kube.AppsV1().Deployments(b.id.Namespace).GetScale(ctx, b.id.Name, metav1.GetOptions{})
	if err != nil {
		return 0, fmt.Errorf("read the scale of %s: %w", b.id, err)
	}
	return int(scale.Spec.Replicas), nil
}

// has waits until spec.replicas is n.
func (b *band) has(t *testing.T, n int, within time.Duration) time.Duration {
	t.Helper()
	return eventually(t, within, fmt.Sprintf("%s has %d replicas", b.id, n), func() error { return b.at(t, n) })
}

func (b *band) at(t *testing.T, n int) error {
	t.Helper()
	got, err := b.replicas(t.Context())
	if err != nil {
		return err
	}
	if got != n {
		return fmt.Errorf("spec.replicas is %d", got)
	}
	return nil
}

// scale sets spec.replicas by hand, as a user does who does not know better.
func (b *band) scale(t *testing.T, n int) {
	t.Helper()
	if _, err := b.c.kube.AppsV1().Deployments(b.id.Namespace).UpdateScale(t.Context(), b.id.Name, &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: b.id.Name, Namespace: b.id.Namespace}, Spec: autoscalingv1.ScaleSpec{Replicas: int32(n)},
	}, metav1.UpdateOptions{}); err != nil {
		t.Fatalf("scale %s to %d: %v", b.id, n, err)
	}
}

// alone pauses KEDA, so that the story's hand is the only actuator.
func (b *band) alone(t *testing.T) {
	t.Helper()
	patch := []byte(`{"metadata":{"annotations":{"autoscaling.keda.sh/paused":"true"}}}`)
	if _, err := b.c.dynamic.Resource(scaledObjects).Namespace(b.id.Namespace).Patch(t.Context(), b.id.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatalf("pause %s: %v", b.id, err)
	}
	eventually(t, time.Minute, "KEDA lets go of "+b.id.String(), func() error {
		list, err := b.c.kube.AutoscalingV2().HorizontalPodAutoscalers(b.id.Namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for i := range list.Items {
			if list.Items[i].Spec.ScaleTargetRef.Name == b.id.Name {
				return fmt.Errorf("HPA %s is still there", list.Items[i].Name)
			}
		}
		return nil
	})
}

// pods are those that are not on their way out.
func (b *band) pods(t *testing.T) []corev1.Pod {
	t.Helper()
	pods, err := b.c.podsOf(t.Context(), b.id.Namespace, b.id.Name)
	if err != nil {
		t.Fatal(err)
	}
	return pods
}

// decision is the newest one in Redis.
func (b *band) decision(ctx context.Context) (decision.Decision, error) {
	kind := decisions.Kind(time.Second, time.Second)
	reading, err := fenced.NewCell(b.c.redis, kind.Key(b.id), kind.Timeout).Read(ctx)
	if err != nil {
		return decision.Decision{}, err
	}
	if !reading.Found {
		return decision.Decision{}, fmt.Errorf("nothing was decided for %s yet", b.id)
	}
	return kind.Decode(b.id, reading.Body)
}

// status is what the page shows.
func (b *band) status(ctx context.Context) (page.Snapshot, error) {
	var answer struct {
		Snapshot *page.Snapshot `json:"snapshot"`
	}
	if err := b.c.get(ctx, balancerPublic+"/api/v1/status?fleet="+url.QueryEscape(b.id.String()), &answer); err != nil {
		return page.Snapshot{}, err
	}
	if answer.Snapshot == nil {
		return page.Snapshot{}, fmt.Errorf("the page knows no fleet %s", b.id)
	}
	return *answer.Snapshot, nil
}

// owners are the nodes that own the shards, in the order of the shards.
func (b *band) owners(ctx context.Context) ([]fleet.NodeID, error) {
	reading, err := fenced.NewCell(b.c.redis, keys.Table(b.id), time.Second).Read(ctx)
	if err != nil {
		return nil, err
	}
	if !reading.Found {
		return nil, fmt.Errorf("%s has no table", b.id)
	}
	table, err := shard.Decode(reading.Body)
	if err != nil {
		return nil, err
	}
	owners := make([]fleet.NodeID, len(table.Rows))
	for i, row := range table.Rows {
		owners[i] = row.Owner
	}
	return owners, nil
}

// beats are the newest heartbeats.
func (b *band) beats(ctx context.Context) (map[fleet.NodeID]load.Heartbeat, error) {
	list, _, _, err := beat.Read(ctx, b.c.redis, b.id)
	byNode := map[fleet.NodeID]load.Heartbeat{}
	for _, h := range list {
		byNode[h.Node] = h
	}
	return byNode, err
}

// serves waits until n nodes and no more are there, all ready, serving, and owners of shards.
func (b *band) serves(t *testing.T, n int) time.Duration {
	t.Helper()
	return eventually(t, 3*time.Minute, fmt.Sprintf("%d nodes of %s serve", n, b.id), func() error {
		pods, err := b.c.podsOf(t.Context(), b.id.Namespace, b.id.Name)
		if err != nil {
			return err
		}
		ready := 0
		for i := range pods {
			if isReady(&pods[i]) {
				ready++
			}
		}
		if len(pods) != n || ready != n {
			return fmt.Errorf("%d pods, %d ready", len(pods), ready)
		}
		s, err := b.status(t.Context())
		if err != nil {
			return err
		}
		owners := 0
		for _, row := range s.Nodes {
			if row.Shards > 0 {
				owners++
			}
		}
		if s.Totals.Serving != n || owners != n || s.Moves > 0 {
			return fmt.Errorf("%d nodes serve, %d own shards, %d shards move: %+v", s.Totals.Serving, owners, s.Moves, s.Totals)
		}
		return nil
	})
}

func isReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
