package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hpa = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"

// order is a balancer.
type order func() ([]string, error)

func (f order) Order(context.Context, fleet.ID) ([]string, error) { return f() }

// recorder keeps Events as "object type reason message".
type recorder struct {
	mu     sync.Mutex
	events []string
}

func (r *recorder) Tell(about corev1.ObjectReference, warning bool, reason, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kind := corev1.EventTypeNormal
	if warning {
		kind = corev1.EventTypeWarning
	}
	r.events = append(r.events, about.Kind+"/"+about.Name+" "+kind+" "+reason+" "+message)
}

// town is a server in front of a cluster with one fleet of three.
type town struct {
	*Server
	client  *fake.Clientset
	events  *recorder
	handler http.Handler
	waited  time.Duration
	logs    *bytes.Buffer
}

func testOptions() Options {
	return Options{
		Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", Balancer: "http://tidegate-balancer:9091", FleetNamespaces: []string{"chat"},
		Actuators: []string{hpa}, SettleTime: 200 * time.Millisecond, Namespace: "tidegate", Service: "tidegate-webhook",
		Secret: "tidegate-webhook-tls", Configuration: "tidegate", ScalerService: "tidegate-scaler", ScalerSecret: "tidegate-scaler-tls",
		KEDASecret: "tidegate-keda-tls",
		Certificates: CertificateOptions{
			Rotate: true, Validity: 8760 * time.Hour, RenewBefore: 2160 * time.Hour, Authority: 87600 * time.Hour, Interval: time.Minute,
		},
	}
}

func newTown(tb testing.TB, change func(*Options), balancer order) *town {
	tb.Helper()
	o := testOptions()
	if change != nil {
		change(&o)
	}
	w := &town{client: fake.NewClientset(fleetOfThree()...), events: &recorder{}, logs: &bytes.Buffer{}}
	w.Server = New(o, Parts{
		Client: w.client, Order: balancer, Events: w.events, Registry: prometheus.NewRegistry(), Now: time.Now,
		Wait: func(_ context.Context, d time.Duration) { w.waited += d }, Logger: slog.New(slog.NewTextHandler(w.logs, nil)),
	})
	w.handler = w.Handler()
	return w
}

func fleetOfThree() []runtime.Object {
	yes, three := true, int32(3)
	labels := map[string]string{"app": "socket", keys.LabelInject: "true"}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "socket"}}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}}
	meta := func(name, kind, owner string) metav1.ObjectMeta {
		m := metav1.ObjectMeta{Namespace: "chat", Name: name, UID: types.UID(name), Labels: labels}
		if owner != "" {
			m.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: owner, UID: types.UID(owner), Controller: &yes}}
		}
		return m
	}
	objects := []runtime.Object{
		&appsv1.Deployment{ObjectMeta: meta("socket", "", ""), Spec: appsv1.DeploymentSpec{Replicas: &three, Selector: selector, Template: template}},
		&appsv1.ReplicaSet{ObjectMeta: meta("socket-1", "Deployment", "socket"), Spec: appsv1.ReplicaSetSpec{Replicas: &three, Selector: selector, Template: template}},
	}
	for _, name := range []string{"a", "b", "c"} {
		objects = append(objects, &corev1.Pod{
			ObjectMeta: meta(name, "ReplicaSet", "socket-1"), Spec: corev1.PodSpec{NodeName: "machine"},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
		})
	}
	return objects
}

// counted64 reads a counter.
func counted64(tb testing.TB, counter prometheus.Metric) float64 {
	tb.Helper()
	var read dto.Metric
	if err := counter.Write(&read); err != nil {
		tb.Fatal(err)
	}
	return read.GetCounter().GetValue()
}

func inOrder(names ...string) order { return func() ([]string, error) { return names, nil } }

// post sends a body as the API server does and reads the answer, which must be well formed.
func (w *town) post(tb testing.TB, path string, body []byte) *admissionv1.AdmissionReview {
	tb.Helper()
	request := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	response := httptest.NewRecorder()
	w.handler.ServeHTTP(response, request)
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(response.Body.Bytes(), &review); err != nil || review.Response == nil {
		tb.Fatalf("%s answers %d %q to %q: that is no AdmissionReview", path, response.Code, response.Body, body)
	}
	if (len(review.Response.Patch) > 0) != (review.Response.PatchType != nil) {
		tb.Fatalf("patch %q with type %v: the API server refuses such an answer", review.Response.Patch, review.Response.PatchType)
	}
	return &review
}

// patchedPods are the pods that were patched.
func (w *town) patchedPods() []string {
	var names []string
	for _, action := range w.client.Actions() {
		if patch, ok := action.(kubetesting.PatchAction); ok {
			names = append(names, patch.GetName())
		}
	}
	slices.Sort(names)
	return names
}

const scaleIn = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u1","operation":"UPDATE","namespace":"chat","name":"socket",
	"kind":{"group":"autoscaling","version":"v1","kind":"Scale"},"resource":{"group":"apps","version":"v1","resource":"deployments"},"subResource":"scale",
	"userInfo":{"username":"` + hpa + `"},"oldObject":{"kind":"Scale","spec":{"replicas":3}},"object":{"kind":"Scale","spec":{"replicas":2}}}}`

const createPod = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u1","operation":"CREATE","namespace":"chat",
	"kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"},
	"object":{"kind":"Pod","metadata":{"generateName":"socket-7d9f-","labels":{"tidegate.dev/inject":"true","pod-template-hash":"7d9f"}},
	"spec":{"containers":[{"name":"socket","image":"tidegate"}]}}}}`

const createScaledObject = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u1","operation":"CREATE","namespace":"chat","name":"socket",
	"kind":{"group":"keda.sh","version":"v1alpha1","kind":"ScaledObject"},"resource":{"group":"keda.sh","version":"v1alpha1","resource":"scaledobjects"},
	"object":{"kind":"ScaledObject","metadata":{"name":"socket","namespace":"chat"},"spec":{"scaleTargetRef":{"name":"socket"},
	"triggers":[{"type":"external-push","metadata":{"scalerAddress":"tidegate-scaler:6000","connectionsPerPod":"many"}}]}}}}`

// change replaces parts of a review.
func change(review string, pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(review)
}
