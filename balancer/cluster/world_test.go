package cluster_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"

	"github.com/tidegate/tidegate/balancer/cluster"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/scaledobject"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(
		m,
		// klog, which client-go brings, flushes from a goroutine that lives as long as the process.
		goleak.IgnoreTopFunction("k8s.io/klog/v2.(*flushDaemon).run.func1"),
	)
}

var (
	chat   = fleet.ID{Namespace: "shop", Name: "chat"}
	setGVR = apps.SchemeGroupVersion.WithResource("replicasets")
)

// world is an API server in memory and a watcher of it.
type world struct {
	t       *testing.T
	kube    *fake.Clientset
	dynamic *dynamicfake.FakeDynamicClient
	meta    *metadatafake.FakeMetadataClient
	log     *lockedLog
	ask     time.Duration // how often the API server is asked whether it is there
	*cluster.Watcher
}

type lockedLog struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// newWorld watches namespaces of an API server that holds a settled fleet of two pods.
func newWorld(t *testing.T, namespaces ...string) *world {
	t.Helper()
	return newWorldWith(t, func(*world) {}, namespaces...)
}

// newWorldWith changes the API server before it is watched.
func newWorldWith(t *testing.T, change func(*world), namespaces ...string) *world {
	t.Helper()
	scheme := metadatafake.NewTestScheme()
	if err := meta.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, log: &lockedLog{},
		kube: fake.NewClientset(),
		dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
			scaledobject.Resource: "ScaledObjectList",
		}),
		meta: metadatafake.NewSimpleMetadataClient(scheme),
	}
	w.putDeployment(func(*apps.Deployment) {})
	w.putSet("chat-1", "1")
	w.putPod("chat-1-a", "chat-1", func(*core.Pod) {})
	w.putPod("chat-1-b", "chat-1", func(*core.Pod) {})
	w.putObject(object("chat"))
	change(w)
	base := policy.Default()
	base.Margin = 1.3 // as a policy file would set it
	clients := cluster.Clients{Kube: w.kube, Dynamic: w.dynamic, Metadata: w.meta}
	settings := cluster.Settings{Namespaces: namespaces, Base: base, AskEvery: w.ask}
	watcher, err := cluster.New(clients, settings, slog.New(slog.NewTextHandler(w.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	w.Watcher = watcher
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		watcher.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return w
}

// facts are what Kubernetes says of the fleet.
func (w *world) facts() *load.Cluster { return w.Look(chat).Cluster }

// policy is the fleet's own; the zero one where none is known.
func (w *world) policy() policy.Policy {
	if p := w.Look(chat).Policy; p != nil {
		return *p
	}
	return policy.Policy{}
}

// settled waits until the watcher knows what there is.
func (w *world) settled() {
	w.t.Helper()
	w.eventually("the caches have filled", func() bool { return w.facts() != nil && w.Look(chat).NoPolicy == "" })
}

// eventually waits for what informers bring in their own time.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	late := time.After(20 * time.Second)
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-late:
			w.t.Fatalf("it did not come about that %s\nlog: %s", what, w.log)
		}
	}
}

// put stores an object under its name, new or not.
func put[T any](t *testing.T, create, update func() (T, error)) {
	t.Helper()
	if _, err := update(); err == nil {
		return
	}
	if _, err := create(); err != nil {
		t.Fatal(err)
	}
}

func (w *world) putDeployment(change func(*apps.Deployment)) {
	w.t.Helper()
	two := int32(2)
	d := &apps.Deployment{
		ObjectMeta: meta.ObjectMeta{Namespace: "shop", Name: "chat", UID: "d-1", Generation: 1},
		Spec:       apps.DeploymentSpec{Replicas: &two},
		Status:     apps.DeploymentStatus{ObservedGeneration: 1, Replicas: 2, UpdatedReplicas: 2},
	}
	change(d)
	api := w.kube.AppsV1().Deployments(d.Namespace)
	put(w.t, func() (*apps.Deployment, error) { return api.Create(w.t.Context(), d, meta.CreateOptions{}) },
		func() (*apps.Deployment, error) { return api.Update(w.t.Context(), d, meta.UpdateOptions{}) })
}

func owner(kind, name string) []meta.OwnerReference {
	yes := true
	return []meta.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, UID: types.UID(name), Controller: &yes}}
}

func (w *world) putSet(name, revision string) {
	w.t.Helper()
	set := &meta.PartialObjectMetadata{
		TypeMeta: meta.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"},
		ObjectMeta: meta.ObjectMeta{
			Namespace: "shop", Name: name, OwnerReferences: owner("Deployment", "chat"),
			Annotations: map[string]string{"deployment.kubernetes.io/revision": revision},
		},
	}
	api := w.meta.Resource(setGVR).Namespace("shop").(metadatafake.MetadataClient)
	put(w.t, func() (*meta.PartialObjectMetadata, error) { return api.CreateFake(set, meta.CreateOptions{}) },
		func() (*meta.PartialObjectMetadata, error) { return api.UpdateFake(set, meta.UpdateOptions{}) })
}

func (w *world) putPod(name, set string, change func(*core.Pod)) {
	w.t.Helper()
	pod := &core.Pod{
		ObjectMeta: meta.ObjectMeta{Namespace: "shop", Name: name, OwnerReferences: owner("ReplicaSet", set), Labels: map[string]string{"app": "chat"}},
		Spec:       core.PodSpec{Containers: []core.Container{{Name: "socket"}}},
		Status: core.PodStatus{
			Phase:      core.PodRunning,
			Conditions: []core.PodCondition{{Type: core.PodScheduled, Status: core.ConditionTrue}, {Type: core.PodReady, Status: core.ConditionTrue}},
		},
	}
	change(pod)
	api := w.kube.CoreV1().Pods("shop")
	put(w.t, func() (*core.Pod, error) { return api.Create(w.t.Context(), pod, meta.CreateOptions{}) },
		func() (*core.Pod, error) { return api.Update(w.t.Context(), pod, meta.UpdateOptions{}) })
}

// object is a ScaledObject with metadata of its trigger as pairs.
func object(name string, pairs ...string) *unstructured.Unstructured {
	metadata := map[string]any{"scalerAddress": "tidegate-scaler.tidegate:6000", "minReplicas": "2", "maxReplicas": "20"}
	for i := 0; i+1 < len(pairs); i += 2 {
		metadata[pairs[i]] = pairs[i+1]
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
		"metadata": map[string]any{"namespace": "shop", "name": name, "uid": "u-" + name},
		"spec": map[string]any{
			"scaleTargetRef": map[string]any{"name": "chat"}, "minReplicaCount": int64(2), "maxReplicaCount": int64(20),
			"triggers": []any{map[string]any{"type": "external-push", "metadata": metadata}},
		},
		"status": map[string]any{"hpaName": "keda-hpa-chat"},
	}}
}

func (w *world) putObject(o *unstructured.Unstructured) {
	w.t.Helper()
	api := w.dynamic.Resource(scaledobject.Resource).Namespace(o.GetNamespace())
	put(w.t, func() (*unstructured.Unstructured, error) { return api.Create(w.t.Context(), o, meta.CreateOptions{}) },
		func() (*unstructured.Unstructured, error) { return api.Update(w.t.Context(), o, meta.UpdateOptions{}) })
}

func (w *world) deleteObject(name string) {
	w.t.Helper()
	if err := w.dynamic.Resource(scaledobject.Resource).Namespace("shop").Delete(w.t.Context(), name, meta.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) putHPA(behavior *autoscaling.HorizontalPodAutoscalerBehavior) {
	w.t.Helper()
	two := int32(2)
	hpa := &autoscaling.HorizontalPodAutoscaler{
		ObjectMeta: meta.ObjectMeta{Namespace: "shop", Name: "keda-hpa-chat"},
		Spec:       autoscaling.HorizontalPodAutoscalerSpec{MinReplicas: &two, MaxReplicas: 20, Behavior: behavior},
	}
	api := w.kube.AutoscalingV2().HorizontalPodAutoscalers("shop")
	put(w.t, func() (*autoscaling.HorizontalPodAutoscaler, error) {
		return api.Create(w.t.Context(), hpa, meta.CreateOptions{})
	}, func() (*autoscaling.HorizontalPodAutoscaler, error) {
		return api.Update(w.t.Context(), hpa, meta.UpdateOptions{})
	})
}

// rules are those of one direction; policies as text: "pods 1/15" or "percent 100/15".
func rules(t *testing.T, tolerance, choice string, policies ...string) *autoscaling.HPAScalingRules {
	t.Helper()
	out := &autoscaling.HPAScalingRules{}
	if tolerance != "" {
		q := resource.MustParse(tolerance)
		out.Tolerance = &q
	}
	if choice != "" {
		c := autoscaling.ScalingPolicySelect(choice)
		out.SelectPolicy = &c
	}
	for _, text := range policies {
		var p autoscaling.HPAScalingPolicy
		var kind string
		if _, err := fmt.Sscanf(text, "%s %d/%d", &kind, &p.Value, &p.PeriodSeconds); err != nil {
			t.Fatal(err)
		}
		p.Type = autoscaling.PercentScalingPolicy
		if kind == "pods" {
			p.Type = autoscaling.PodsScalingPolicy
		}
		out.Policies = append(out.Policies, p)
	}
	return out
}
