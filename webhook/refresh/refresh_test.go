package refresh_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/tidegate/tidegate/internal/scaledobject"
	"github.com/tidegate/tidegate/webhook/refresh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// object is a ScaledObject with a trigger that asks a scaler at an address.
func object(namespace, name, address, hpa string, annotations map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
		"metadata": map[string]any{"namespace": namespace, "name": name, "annotations": annotations},
		"spec": map[string]any{
			"scaleTargetRef": map[string]any{"name": name},
			"triggers":       []any{map[string]any{"type": "external-push", "metadata": map[string]any{"scalerAddress": address}}},
		},
		"status": map[string]any{"hpaName": hpa},
	}}
}

var metric = schema.GroupVersionResource{Group: "external.metrics.k8s.io", Version: "v1beta1", Resource: "s0-tidegate-desired-replicas"}

func refresher(objects ...runtime.Object) (*refresh.Refresher, *fake.FakeDynamicClient) {
	kinds := map[schema.GroupVersionResource]string{scaledobject.Resource: "ScaledObjectList", metric: "ExternalMetricValueList"}
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, objects...)
	return &refresh.Refresher{Client: client, Namespaces: []string{"chat", "game"}, Logger: slog.New(slog.DiscardHandler)}, client
}

// asked are the ScaledObjects that KEDA was asked about.
func asked(t *testing.T, client *fake.FakeDynamicClient) []string {
	t.Helper()
	var names []string
	for _, action := range client.Actions() {
		list, ok := action.(kubetesting.ListAction)
		if !ok {
			t.Errorf("%s %s: nothing of KEDA's may be written", action.GetVerb(), action.GetResource().Resource)
		} else if list.GetResource() == metric {
			name, _ := strings.CutPrefix(list.GetListRestrictions().Labels.String(), "scaledobject.keda.sh/name=")
			names = append(names, list.GetNamespace()+"/"+name)
		}
	}
	return names
}

const ours = "tidegate-scaler.tidegate:6000"

func TestKEDAIsAskedAboutWhatHasNoHPA(t *testing.T) {
	r, client := refresher(
		object("chat", "new", ours, "", nil),
		object("game", "new", ours, "", nil),
		object("chat", "running", ours, "keda-hpa-running", nil),
		object("chat", "paused", ours, "", map[string]any{"autoscaling.keda.sh/paused": "true"}),
		object("chat", "foreign", "other-scaler:6000", "", nil),
		object("elsewhere", "new", ours, "", nil),
	)
	waiting, err := r.Look(t.Context())
	if err != nil || waiting != 2 {
		t.Errorf("%d wait, %v", waiting, err)
	}
	if got := asked(t, client); !slices.Equal(got, []string{"chat/new", "game/new"}) {
		t.Errorf("KEDA was asked about %v: the others need nothing, or are not ours", got)
	}
}

func TestOneNamespaceThatFailsHoldsUpNoOther(t *testing.T) {
	r, client := refresher(object("game", "new", ours, "", nil))
	client.PrependReactor("list", "scaledobjects", func(action kubetesting.Action) (bool, runtime.Object, error) {
		return action.GetNamespace() == "chat", nil, errors.New("forbidden")
	})
	if waiting, err := r.Look(t.Context()); waiting != 1 || err == nil || !strings.Contains(err.Error(), `"chat"`) {
		t.Errorf("%d wait, %v", waiting, err)
	}
}

func TestAQuestionThatHangsStarvesNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var objects []runtime.Object
		for _, name := range strings.Split("abcdefgh", "") {
			objects = append(objects, object("chat", name, ours, "", nil))
		}
		r, client := refresher(objects...)
		hanging := &hangs{Interface: client}
		r.Client = hanging
		for range 3 {
			start := time.Now()
			if waiting, err := r.Look(t.Context()); waiting != 8 || err != nil {
				t.Errorf("%d wait, %v", waiting, err)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("a look took %s", took)
			}
		}
		slices.Sort(hanging.asked)
		if got := slices.Compact(hanging.asked); len(got) != 8 {
			t.Errorf("after three looks KEDA was asked about %v of eight: the others never get an HPA", got)
		}
	})
}

// hangs is a KEDA that answers no question about a metric.
type hangs struct {
	dynamic.Interface
	asked []string
}

func (h *hangs) Resource(of schema.GroupVersionResource) dynamic.NamespaceableResourceInterface {
	if of == metric {
		return &hangingMetric{NamespaceableResourceInterface: h.Interface.Resource(of), keda: h}
	}
	return h.Interface.Resource(of)
}

type hangingMetric struct {
	dynamic.NamespaceableResourceInterface
	keda *hangs
}

func (m *hangingMetric) Namespace(string) dynamic.ResourceInterface { return m }

func (m *hangingMetric) List(ctx context.Context, o metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	m.keda.asked = append(m.keda.asked, o.LabelSelector)
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestItAsksUntilThereIsAnHPA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, client := refresher(object("chat", "new", ours, "", nil))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.Run(ctx) }()
		<-time.After(12 * time.Second)
		synctest.Wait()
		if got := len(asked(t, client)); got != 3 {
			t.Errorf("KEDA was asked %d times in 12 s, want 3", got)
		}
		if err := client.Tracker().Update(scaledobject.Resource, object("chat", "new", ours, "keda-hpa-new", nil), "chat"); err != nil {
			t.Fatal(err)
		}
		<-time.After(5 * time.Second)
		client.ClearActions()
		<-time.After(5 * time.Minute)
		synctest.Wait()
		if got := asked(t, client); len(got) > 0 {
			t.Errorf("KEDA is still asked: %v", got)
		}
		cancel()
		<-done
	})
}
