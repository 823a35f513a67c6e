package scalein_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/webhook/ranking"
	"github.com/tidegate/tidegate/webhook/scalein"
	"github.com/tidegate/tidegate/webhook/stamp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const settle = 200 * time.Millisecond

// town is a cluster with one fleet of six and a balancer.
type town struct {
	client  *fake.Clientset
	stamper *scalein.Stamper
	set     *appsv1.ReplicaSet

	mu sync.Mutex
	// order is what the balancer says; fault is said instead when it is set.
	order []string
	fault error
	asked int
}

func (w *town) Order(context.Context, fleet.ID) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	if w.fault != nil {
		return nil, w.fault
	}
	return slices.Clone(w.order), nil
}

func newTown(changes ...func(name string, pod *corev1.Pod)) *town {
	labels := map[string]string{"app": "socket", keys.LabelInject: "true"}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}}
	six := int32(6)
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "chat", Name: "socket", UID: "deployment"},
		Spec:       appsv1.DeploymentSpec{Replicas: &six, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "socket"}}, Template: template},
	}
	set := newSet("socket-1", deployment)
	objects := []runtime.Object{deployment, set}
	w := &town{set: set}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		pod := newPod(name, set)
		for _, change := range changes {
			change(name, pod)
		}
		objects = append(objects, pod)
		w.order = append(w.order, name)
	}
	w.client = fake.NewClientset(objects...)
	w.stamper = &scalein.Stamper{
		Client: w.client, Carrier: stamp.Annotation{Pods: w.client.CoreV1()}, Order: w, Settle: settle, Now: time.Now,
		Wait: func(ctx context.Context, d time.Duration) {
			select {
			case <-time.After(d):
			case <-ctx.Done():
			}
		},
	}
	return w
}

func newSet(name string, of *appsv1.Deployment) *appsv1.ReplicaSet {
	yes, six := true, int32(6)
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "chat", Name: name, UID: types.UID(name), Labels: of.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: of.Name, UID: of.UID, Controller: &yes}},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: &six, Selector: of.Spec.Selector, Template: of.Spec.Template},
	}
}

func newPod(name string, of *appsv1.ReplicaSet) *corev1.Pod {
	yes := true
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "chat", Name: name, UID: types.UID(name), Labels: of.Spec.Template.Labels, Annotations: map[string]string{},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: of.Name, UID: of.UID, Controller: &yes}},
		},
		Spec: corev1.PodSpec{NodeName: "machine"},
		Status: corev1.PodStatus{
			Phase:      corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}},
		},
	}
}

// leave plays the ReplicaSet controller: it names the pods that it would delete now to keep so many.
func (w *town) leave(t *testing.T, keep int) []string {
	t.Helper()
	var active []*corev1.Pod
	for _, pod := range w.pods(t) {
		if ranking.Active(&pod) {
			active = append(active, pod.DeepCopy())
		}
	}
	var names []string
	for _, pod := range ranking.Order(active, active, time.Now())[:len(active)-keep] {
		names = append(names, pod.Name)
	}
	slices.Sort(names)
	return names
}

func (w *town) pods(t *testing.T) []corev1.Pod {
	t.Helper()
	list, err := w.client.CoreV1().Pods("chat").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// patches counts what was patched, and forgets it.
func (w *town) patches() int {
	count := 0
	for _, action := range w.client.Actions() {
		if action.GetVerb() == "patch" {
			count++
		}
	}
	w.client.ClearActions()
	return count
}

func scale(to int) scalein.Change {
	return scalein.Change{Namespace: "chat", Deployment: "socket", From: 6, To: to, Author: "hpa"}
}

func (w *town) shrink(to int) scalein.Change {
	return scalein.Change{Namespace: "chat", Set: w.set.Name, From: 6, To: to, Author: "deployment-controller"}
}
