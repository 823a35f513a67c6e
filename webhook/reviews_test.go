package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/webhook/victims"
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

func TestReviewsThatAreWrongLetTheRequestThrough(t *testing.T) {
	cases := []struct {
		name, path, body string
		// unreadable reviews get no id back, which makes the API server follow failurePolicy: Ignore.
		unreadable bool
		// warned is what a warning must say; empty when there must be none.
		warned string
	}{
		{name: "empty", path: PathStamp, body: "", unreadable: true},
		{name: "no JSON", path: PathPods, body: "\x00\xff", unreadable: true},
		{name: "another kind of review", path: PathPods, body: `{"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1"}`, unreadable: true},
		{name: "no request", path: PathPods, body: `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`, unreadable: true},
		{name: "request null", path: PathStamp, body: `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":null}`, unreadable: true},
		{name: "no uid", path: PathPods, body: change(createPod, `"uid":"u1",`, ``), unreadable: true},
		{name: "a pod review at the stamps", path: PathStamp, body: createPod, warned: "only updates of apps"},
		{name: "a scale at the pods", path: PathPods, body: scaleIn, warned: "only the creation of pods"},
		{name: "a StatefulSet's scale", path: PathStamp, body: change(scaleIn, "deployments", "statefulsets"), warned: "point the webhook at"},
		{name: "a pod that is no object", path: PathPods, body: change(createPod, `"object":{`, `"object":7,"other":{`), warned: "read the pod"},
		{name: "no old object", path: PathStamp, body: change(scaleIn, `"oldObject"`, `"olderObject"`), warned: "read the old object"},
		{name: "replicas in words", path: PathStamp, body: change(scaleIn, `"replicas":2`, `"replicas":"two"`), warned: "read the object"},
		{name: "a pod without containers", path: PathPods, body: change(createPod, `"containers":[{"name":"socket","image":"tidegate"}]`, ``), warned: "no containers"},
		{
			name: "a pod with a preStop hook of its own", path: PathPods,
			body:   change(createPod, `"image":"tidegate"`, `"lifecycle":{"preStop":{"exec":{"command":["bye"]}}}`),
			warned: "which was kept",
		},
		{name: "a pod in a foreign namespace", path: PathPods, body: change(createPod, `"namespace":"chat"`, `"namespace":"other"`), warned: "--fleet-namespaces"},
		{name: "a scale-in in a foreign namespace", path: PathStamp, body: change(scaleIn, `"namespace":"chat"`, `"namespace":"other"`)},
		{name: "a pod without the label", path: PathPods, body: change(createPod, `"tidegate.dev/inject":"true",`, ``)},
		{name: "a dry run of a scale-in", path: PathStamp, body: change(scaleIn, `"uid":"u1"`, `"uid":"u1","dryRun":true`)},
		{name: "a scale-out", path: PathStamp, body: change(scaleIn, `"replicas":2`, `"replicas":9`)},
		{name: "a fleet that is not there", path: PathStamp, body: change(scaleIn, `"name":"socket"`, `"name":"ghost"`), warned: "cannot be read"},
		{name: "a ScaledObject review with a pod", path: PathScaledObjects, body: createPod, warned: "only scaledobjects"},
		{name: "a ScaledObject whose spec is a list", path: PathScaledObjects, body: change(createScaledObject, `"triggers":[`, `"triggers":7,"others":[`), warned: "read ScaledObject"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newTown(t, nil, inOrder("b", "a", "c"))
			answer := w.post(t, c.path, []byte(c.body)).Response
			if c.unreadable {
				if answer.UID != "" {
					t.Errorf("uid %q was answered to a review without one", answer.UID)
				}
				return
			}
			if !answer.Allowed || answer.UID != "u1" {
				t.Errorf("allowed %v, uid %q: a fault of the webhook would stop pods or scaling", answer.Allowed, answer.UID)
			}
			said := strings.Join(answer.Warnings, "\n")
			if c.warned == "" && said != "" || !strings.Contains(said, c.warned) {
				t.Errorf("warnings %q, want words on %q", said, c.warned)
			}
			for _, warning := range answer.Warnings {
				if len(warning) > maxWarning || strings.ContainsAny(warning, "\n\r\x00") {
					t.Errorf("clients would not show the warning %q", warning)
				}
			}
			if patched := w.patchedPods(); len(patched) > 0 {
				t.Errorf("pods %v were stamped", patched)
			}
		})
	}
}

func TestAPanicLetsTheRequestThrough(t *testing.T) {
	w := newTown(t, nil, func() ([]string, error) { panic("a bug") })
	answer := w.post(t, PathStamp, []byte(scaleIn)).Response
	if !answer.Allowed || answer.UID != "u1" || len(answer.Warnings) != 1 {
		t.Errorf("%+v: a bug of the webhook would stop scaling", answer)
	}
	if got := counted64(t, w.meters.admissions.WithLabelValues("scale-in", resultPanic)); got != 1 {
		t.Errorf("%v panics are counted", got)
	}
}

func TestAPodIsInjected(t *testing.T) {
	w := newTown(t, nil, nil)
	answer := w.post(t, PathPods, []byte(createPod)).Response
	var patch []struct {
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	if err := json.Unmarshal(answer.Patch, &patch); err != nil {
		t.Fatal(err)
	}
	values := make(map[string]any)
	for _, p := range patch {
		values[p.Path] = p.Value
	}
	name, _ := values["/metadata/name"].(string)
	suffix, found := strings.CutPrefix(name, "socket-7d9f-")
	if !found || len(suffix) != suffixLength || strings.Trim(suffix, suffixAlphabet) != "" {
		t.Errorf("the pod's name is %q", name)
	}
	if values["/spec/hostname"] != name || values["/spec/subdomain"] != "socket" || values["/spec/containers/0/lifecycle"] == nil {
		t.Errorf("the patch is %s", answer.Patch)
	}
	second := w.post(t, PathPods, []byte(createPod)).Response
	if bytes.Equal(answer.Patch, second.Patch) {
		t.Error("two pods got the same nonce and name")
	}
}

func TestAScaleInIsStamped(t *testing.T) {
	w := newTown(t, nil, inOrder("b", "a", "c"))
	answer := w.post(t, PathStamp, []byte(scaleIn)).Response
	if !answer.Allowed || len(answer.Warnings) > 0 {
		t.Errorf("%+v", answer)
	}
	if patched := w.patchedPods(); !slices.Equal(patched, []string{"b"}) {
		t.Errorf("%v were stamped, want b", patched)
	}
	if w.waited < 190*time.Millisecond || w.waited > 200*time.Millisecond {
		t.Errorf("held for %s", w.waited)
	}
	if len(w.events.events) != 1 || !strings.Contains(w.events.events[0], "Normal ScaleInStamped 1 pods leave, with the least to lose: b") {
		t.Errorf("events %q", w.events.events)
	}
	if got := counted64(t, w.meters.stamps.WithLabelValues("chat/socket", actionSet)); got != 1 {
		t.Errorf("%v stamps are counted", got)
	}
}

func TestASecondActuatorIsStampedAndReported(t *testing.T) {
	w := newTown(t, nil, inOrder("b", "a", "c"))
	answer := w.post(t, PathStamp, []byte(change(scaleIn, hpa, "alice"))).Response
	if !answer.Allowed || len(answer.Warnings) != 1 || !strings.Contains(answer.Warnings[0], "scaled by its ScaledObject") {
		t.Errorf("%+v: a user by hand must be told, and not be stopped", answer)
	}
	if !slices.Equal(w.patchedPods(), []string{"b"}) {
		t.Error("the scale-in by hand was not stamped")
	}
	if len(w.events.events) != 2 || !strings.Contains(w.events.events[0], "Warning SecondActuator replicas go from 3 to 2 by alice") {
		t.Errorf("events %q", w.events.events)
	}
	if got := counted64(t, w.meters.secondActuators.WithLabelValues("chat/socket")); got != 1 {
		t.Errorf("%v second actuators are counted", got)
	}
}

func TestTroubleIsSaidEverywhere(t *testing.T) {
	w := newTown(t, nil, func() ([]string, error) { return nil, errors.New("connection refused") })
	answer := w.post(t, PathStamp, []byte(scaleIn)).Response
	if !answer.Allowed || len(answer.Warnings) != 1 || !strings.Contains(answer.Warnings[0], "the balancer does not say") {
		t.Errorf("%+v", answer)
	}
	if len(w.events.events) != 1 || !strings.HasPrefix(w.events.events[0], "Deployment/socket Warning BalancerUnreachable") {
		t.Errorf("events %q", w.events.events)
	}
	for name, got := range map[string]float64{
		"trouble": counted64(t, w.meters.troubles.WithLabelValues("chat/socket", "BalancerUnreachable")),
		"error":   counted64(t, w.meters.balancerErrors),
		"warned":  counted64(t, w.meters.admissions.WithLabelValues("scale-in", resultWarned)),
	} {
		if got != 1 {
			t.Errorf("%s is counted %v times", name, got)
		}
	}
}

func TestAFleetThatTheBalancerDoesNotKnowIsNoErrorOfTheBalancer(t *testing.T) {
	w := newTown(t, nil, func() ([]string, error) { return nil, victims.ErrUnknownFleet })
	w.post(t, PathStamp, []byte(scaleIn))
	if got := counted64(t, w.meters.balancerErrors); got != 0 {
		t.Errorf("%v errors of the balancer are counted", got)
	}
}

func TestAPatchThatConflictsIsAWarning(t *testing.T) {
	w := newTown(t, nil, inOrder("b", "a", "c"))
	w.client.PrependReactor("patch", "pods", func(kubetesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, "b", errors.New("somebody was faster"))
	})
	answer := w.post(t, PathStamp, []byte(scaleIn)).Response
	if !answer.Allowed || len(answer.Warnings) != 1 || !strings.Contains(answer.Warnings[0], "could not be written") {
		t.Errorf("%+v", answer)
	}
}

func TestADryRunOfTheProcessOnlyLogs(t *testing.T) {
	w := newTown(t, func(o *Options) { o.DryRun = true }, inOrder("b", "a", "c"))
	for path, body := range map[string]string{PathPods: createPod, PathStamp: change(scaleIn, hpa, "alice"), PathScaledObjects: createScaledObject} {
		answer := w.post(t, path, []byte(body)).Response
		if !answer.Allowed || len(answer.Patch) > 0 {
			t.Errorf("%s: %+v", path, answer)
		}
	}
	if len(w.patchedPods()) > 0 || len(w.events.events) > 0 || w.waited > 0 {
		t.Errorf("patched %v, events %v, waited %s", w.patchedPods(), w.events.events, w.waited)
	}
	for _, word := range []string{"would inject a pod", "would stamp a scale-in", "victims=[b]", "would refuse a ScaledObject"} {
		if !strings.Contains(w.logs.String(), word) {
			t.Errorf("the log does not say %q", word)
		}
	}
}

func TestAWrongTriggerIsRefused(t *testing.T) {
	w := newTown(t, nil, nil)
	answer := w.post(t, PathScaledObjects, []byte(createScaledObject)).Response
	if answer.Allowed || !strings.Contains(answer.Result.Message, "connectionsPerPod") {
		t.Errorf("%+v: the user is not told", answer)
	}
	if len(answer.Warnings) == 0 {
		t.Error("missing behaviour and limits are not warned of")
	}
	mended := change(createScaledObject, `,"connectionsPerPod":"many"`, ``)
	if answer := w.post(t, PathScaledObjects, []byte(mended)).Response; !answer.Allowed {
		t.Errorf("refused: %v", answer.Result)
	}
	foreign := change(createScaledObject, "tidegate-scaler:6000", "other:6000", `"connectionsPerPod"`, `"x"`)
	if answer := w.post(t, PathScaledObjects, []byte(foreign)).Response; !answer.Allowed || len(answer.Warnings) > 0 {
		t.Errorf("somebody else's ScaledObject: %+v", answer)
	}
}

// FuzzMutatePod sends any object as a pod: the answer lets it through, and what it patches can be applied.
func FuzzMutatePod(f *testing.F) {
	for _, seed := range []string{createPod, change(createPod, `"image":"tidegate"`, `"env":null,"lifecycle":{}`), scaleIn, "", "{}", "null"} {
		f.Add([]byte(seed))
	}
	w := newTown(f, nil, nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		answer := w.post(t, PathPods, body).Response
		checkAnswer(t, body, answer)
	})
}

// FuzzStamp sends any review to the stamps: the answer lets it through without a patch of the object.
func FuzzStamp(f *testing.F) {
	for _, seed := range []string{scaleIn, change(scaleIn, `"replicas":2`, `"replicas":-2147483648`), createPod, "", "[]"} {
		f.Add([]byte(seed))
	}
	w := newTown(f, func(o *Options) { o.DryRun = true }, inOrder("b"))
	f.Fuzz(func(t *testing.T, body []byte) {
		answer := w.post(t, PathStamp, body).Response
		checkAnswer(t, body, answer)
		if len(answer.Patch) > 0 {
			t.Errorf("a scale-in is changed: %s", answer.Patch)
		}
	})
}

// FuzzScaledObject sends any review to the judge: a refusal has words.
func FuzzScaledObject(f *testing.F) {
	for _, seed := range []string{createScaledObject, createPod, "", "{}"} {
		f.Add([]byte(seed))
	}
	w := newTown(f, nil, nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		answer := w.post(t, PathScaledObjects, body).Response
		if !answer.Allowed && answer.Result.Message == "" {
			t.Error("refused without a word")
		}
	})
}

// checkAnswer checks that whoever sent a review that has an id is let through.
func checkAnswer(t *testing.T, body []byte, answer *admissionv1.AdmissionResponse) {
	t.Helper()
	if !answer.Allowed && answer.UID != "" {
		t.Errorf("%q is refused: %v", body, answer.Result)
	}
	for _, warning := range answer.Warnings {
		if len(warning) > maxWarning {
			t.Errorf("a warning of %d bytes", len(warning))
		}
	}
}

func BenchmarkReviewOfAPod(b *testing.B) {
	w := newTown(b, nil, nil)
	body := []byte(createPod)
	b.ReportAllocs()
	for b.Loop() {
		if len(w.post(b, PathPods, body).Response.Patch) == 0 {
			b.Fatal("not injected")
		}
	}
}
