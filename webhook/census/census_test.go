package census_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/webhook/census"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pod is one of Deployment socket that asks for the hook and has none.
func pod(namespace, name string, changes ...func(*corev1.Pod)) *corev1.Pod {
	yes := true
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Labels: map[string]string{keys.LabelInject: "true", "pod-template-hash": "7d9f"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "socket-7d9f", Controller: &yes}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "proxy"}, {Name: "socket"}}},
	}
	for _, change := range changes {
		change(p)
	}
	return p
}

func injected(p *corev1.Pod) {
	p.Spec.Containers[1].Env = []corev1.EnvVar{{Name: "TIDEGATE_DRAIN_NONCE", Value: "n"}}
}

// office is a census with what it said.
type office struct {
	*census.Census
	client *fake.Clientset
	counts map[string]int
	events []string
}

func (o *office) Tell(about corev1.ObjectReference, _ bool, reason, message string) {
	o.events = append(o.events, about.Namespace+"/"+about.Name+" "+string(about.UID)+" "+reason+" "+message)
}

func newOffice(objects ...runtime.Object) *office {
	for _, namespace := range []string{"chat", "game"} {
		objects = append(objects, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "socket", UID: "u"}})
	}
	o := &office{client: fake.NewClientset(objects...), counts: make(map[string]int)}
	o.Census = &census.Census{
		Client: o.client, Namespaces: []string{"chat", "game"}, Count: func(namespace string, pods int) { o.counts[namespace] = pods },
		Events: o, Logger: slog.New(slog.DiscardHandler),
	}
	return o
}

func TestPodsWithoutAHookAreCountedAndToldOnce(t *testing.T) {
	o := newOffice(
		pod("chat", "early"), pod("chat", "second"), pod("chat", "good", injected),
		pod("chat", "ended", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
		pod("chat", "foreign", func(p *corev1.Pod) { delete(p.Labels, keys.LabelInject) }),
		pod("chat", "bare", func(p *corev1.Pod) { p.OwnerReferences = nil }),
		pod("game", "good", injected), pod("elsewhere", "early"),
	)
	for range 3 {
		if err := o.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if want := map[string]int{"chat": 3, "game": 0}; !maps.Equal(o.counts, want) {
		t.Errorf("counted %v, want %v", o.counts, want)
	}
	if len(o.events) != 1 || !strings.HasPrefix(o.events[0], "chat/socket u PodsNotInjected 2 pods have no drain hook") || !strings.Contains(o.events[0], "(early, second)") {
		t.Errorf("events %q, want one for the Deployment", o.events)
	}
}

func TestAReplacedPodIsForgottenAndALaterOneToldAgain(t *testing.T) {
	o := newOffice(pod("chat", "early"))
	o.Namespaces = []string{metav1.NamespaceAll}
	look := func() {
		t.Helper()
		if err := o.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	look()
	if err := o.client.CoreV1().Pods("chat").Delete(t.Context(), "early", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	look()
	if got, ok := o.counts["chat"]; !ok || got != 0 {
		t.Errorf("%d are counted after the rollout", got)
	}
	if err := o.client.Tracker().Add(pod("chat", "again")); err != nil {
		t.Fatal(err)
	}
	look()
	if o.counts["chat"] != 1 || len(o.events) != 2 {
		t.Errorf("counted %v, events %q", o.counts, o.events)
	}
}

func TestANamespaceThatCannotBeReadTakesNothingBack(t *testing.T) {
	o := newOffice(pod("chat", "early"))
	if err := o.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.client.PrependReactor("list", "pods", func(action kubetesting.Action) (bool, runtime.Object, error) {
		return action.GetNamespace() == "chat", nil, errors.New("forbidden")
	})
	if err := o.Look(t.Context()); err == nil || !strings.Contains(err.Error(), `"chat"`) || o.counts["chat"] != 1 {
		t.Errorf("%v, counted %v", err, o.counts)
	}
}

func TestItLooksEveryMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); o.Run(ctx) }()
		<-time.After(150 * time.Second)
		synctest.Wait()
		cancel()
		<-done
		lists := 0
		for _, action := range o.client.Actions() {
			if action.GetVerb() != "list" {
				t.Errorf("%s %s: nothing is to be done", action.GetVerb(), action.GetResource().Resource)
			}
			lists++
		}
		if lists != 6 {
			t.Errorf("%d lists in 150 s of two namespaces, want 6", lists)
		}
	})
}
