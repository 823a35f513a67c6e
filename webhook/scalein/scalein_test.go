package scalein_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	admission "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v1"
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
	"github.com/tidegate/tidegate/webhook/ranking"
	"github.com/tidegate/tidegate/webhook/scalein"
	"github.com/tidegate/tidegate/webhook/stamp"
	"github.com/tidegate/tidegate/webhook/victims"
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
	return scalein.Change{Namespace: "chat", Set: w.set, From: 6, To: to, Author: "deployment-controller"}
}

func TestTheRightPodsLeave(t *testing.T) {
	old := func(name string) func(string, *corev1.Pod) {
		return func(pod string, p *corev1.Pod) {
			if pod == name {
				p.Annotations[keys.AnnotationDeletionCost] = "-2000000000"
			}
		}
	}
	state := func(name string, change func(*corev1.Pod)) func(string, *corev1.Pod) {
		return func(pod string, p *corev1.Pod) {
			if pod == name {
				change(p)
			}
		}
	}
	notReady := func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }
	deleting := func(p *corev1.Pod) {
		p.DeletionTimestamp = &metav1.Time{Time: time.Now()}
		p.Finalizers = []string{"keep/it"}
	}
	cases := []struct {
		name    string
		changes []func(string, *corev1.Pod)
		order   string
		to      int
		want    string
		patches int
	}{
		{name: "one leaves", order: "dabcef", to: 5, want: "d", patches: 1},
		{name: "six to two", order: "fdbaec", to: 2, want: "abdf", patches: 4},
		{name: "an old stamp on another pod", changes: []func(string, *corev1.Pod){old("e")}, order: "dabcef", to: 5, want: "d", patches: 2},
		{name: "a pending pod goes first and nobody is stamped", changes: []func(string, *corev1.Pod){state("c", notReady)}, order: "dabcef", to: 5, want: "c"},
		{name: "a pending pod and one more", changes: []func(string, *corev1.Pod){state("c", notReady)}, order: "dabcef", to: 4, want: "cd", patches: 1},
		{name: "who is being deleted does not count", changes: []func(string, *corev1.Pod){state("a", deleting)}, order: "dbcef", to: 4, want: "d", patches: 1},
		{name: "all leave", order: "dabcef", to: 0, want: "abcdef"},
	}
	for _, c := range cases {
		for _, level := range []string{"deployment", "replicaset"} {
			t.Run(c.name+" by "+level, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newTown(c.changes...)
					w.order = strings.Split(c.order, "")
					change := scale(c.to)
					if level == "replicaset" {
						change = w.shrink(c.to)
					}
					start := time.Now()
					r := w.stamper.Stamp(t.Context(), change)
					if got := strings.Join(w.leave(t, c.to), ""); got != c.want {
						t.Errorf("%s leave, want %s: %+v", got, c.want, r)
					}
					if got := w.patches(); got != c.patches {
						t.Errorf("%d patches, want %d: only what must change is stamped", got, c.patches)
					}
					wantHold := time.Duration(0)
					if c.patches > 0 {
						wantHold = settle
					}
					if held := time.Since(start); held != wantHold {
						t.Errorf("held for %s, want %s", held, wantHold)
					}
					if len(r.Troubles) > 0 {
						t.Errorf("troubles: %v", r.Troubles)
					}
				})
			})
		}
	}
}

func TestTheSameScaleInAgainChangesNothingAndDoesNotWaitAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		w.order = strings.Split("fdbaec", "")
		w.stamper.Stamp(t.Context(), scale(2))
		first, asked := w.leave(t, 2), w.asked
		w.patches()
		// The write met a status write; meanwhile clients moved, and the balancer sees others with less to lose.
		w.order = strings.Split("acebdf", "")
		for _, again := range []scalein.Change{scale(2), scale(2), w.shrink(2)} {
			start := time.Now()
			r := w.stamper.Stamp(t.Context(), again)
			if held := time.Since(start); held > 25*time.Millisecond {
				t.Errorf("the retry was held for %s more", held)
			}
			if got := w.patches(); got > 0 || r.Set+r.Cleared > 0 {
				t.Errorf("the retry wrote %d patches", got)
			}
			if got := w.leave(t, 2); !slices.Equal(got, first) {
				t.Errorf("first %v were to leave, now %v", first, got)
			}
		}
		if w.asked != asked {
			t.Error("the balancer was asked again although all victims were known")
		}
	})
}

func TestARetryInsideTheSettleTimeWaitsForWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		impatient, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
		defer cancel()
		w.stamper.Stamp(impatient, scale(5))
		start := time.Now()
		w.stamper.Stamp(t.Context(), scale(5))
		if held := time.Since(start); held < 25*time.Millisecond || held > 75*time.Millisecond {
			t.Errorf("held for %s, want about 50ms: what is left of %s after 150ms", held, settle)
		}
	})
}

func TestTheReplicaSetsExactCountMendsAnEstimate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		w.stamper.Stamp(t.Context(), scale(5))
		w.stamper.Stamp(t.Context(), w.shrink(3))
		if got := strings.Join(w.leave(t, 3), ""); got != "abc" {
			t.Errorf("%s leave, want abc", got)
		}
	})
}

func TestInARolloutTheReplicaSetThatShrinksIsStamped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		deployment, err := w.client.AppsV1().Deployments("chat").Get(t.Context(), "socket", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		newer := newSet("socket-2", deployment)
		if err := w.client.Tracker().Add(newer); err != nil {
			t.Fatal(err)
		}
		if err := w.client.Tracker().Add(newPod("new", newer)); err != nil {
			t.Fatal(err)
		}
		w.order = []string{"new", "c", "a", "b", "d", "e", "f"}
		if r := w.stamper.Stamp(t.Context(), scale(5)); !r.Rollout || w.patches() > 0 {
			t.Errorf("which ReplicaSet shrinks is not known yet, and pods were stamped: %+v", r)
		}
		r := w.stamper.Stamp(t.Context(), w.shrink(5))
		if !slices.Equal(r.Victims, []string{"c"}) {
			t.Errorf("victims %v, want c: the node of the older ReplicaSet with the least to lose", r.Victims)
		}
	})
}

func TestANewTemplateWithFewerReplicasIsARollout(t *testing.T) {
	w := newTown()
	change := scale(5)
	change.Template = true
	if r := w.stamper.Stamp(t.Context(), change); !r.Rollout || w.patches() > 0 {
		t.Errorf("pods were stamped before it is known which ReplicaSet shrinks: %+v", r)
	}
}

func TestWithoutABalancerScalingGoesOn(t *testing.T) {
	cases := []struct {
		name   string
		fault  error
		reason string
	}{
		{"it is unreachable", errors.New("connection refused"), scalein.ReasonNoBalancer},
		{"it knows no such fleet", fmt.Errorf("asked: %w", victims.ErrUnknownFleet), scalein.ReasonUnknownFleet},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTown(func(name string, p *corev1.Pod) {
					if name == "e" {
						p.Annotations[keys.AnnotationDeletionCost] = "-2000000000"
					}
				})
				w.fault = c.fault
				r := w.stamper.Stamp(t.Context(), scale(5))
				if len(r.Troubles) != 1 || r.Troubles[0].Reason != c.reason {
					t.Errorf("troubles %v, want %s", r.Troubles, c.reason)
				}
				if r.Unnamed != 1 || r.Set != 0 || r.Cleared != 1 {
					t.Errorf("%+v: the old stamp must go, and nobody be named", r)
				}
			})
		})
	}
}

func TestADeploymentThatIsNoFleetIsLeftAlone(t *testing.T) {
	for _, fault := range []error{victims.ErrUnknownFleet, errors.New("connection refused")} {
		w := newTown()
		deployment, err := w.client.AppsV1().Deployments("chat").Get(t.Context(), "socket", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		delete(deployment.Spec.Template.Labels, keys.LabelInject)
		if err := w.client.Tracker().Update(appsv1.SchemeGroupVersion.WithResource("deployments"), deployment, "chat"); err != nil {
			t.Fatal(err)
		}
		w.fault = fault
		if r := w.stamper.Stamp(t.Context(), scale(5)); r.Deployment != nil || len(r.Troubles) > 0 || w.patches() > 0 {
			t.Errorf("a Deployment that never asked for anything was touched or complained of: %+v", r)
		}
		w.fault = nil
		if r := w.stamper.Stamp(t.Context(), scale(5)); r.Set != 1 {
			t.Errorf("a fleet without the label, which the balancer knows, was not stamped: %+v", r)
		}
	}
}

func TestAReplicaSetOfNobodyIsLeftAlone(t *testing.T) {
	w := newTown()
	w.set.OwnerReferences = nil
	if r := w.stamper.Stamp(t.Context(), w.shrink(5)); r.Deployment != nil || len(w.client.Actions()) > 0 {
		t.Errorf("a ReplicaSet without a Deployment was touched: %+v", r)
	}
}

func TestADryRunOfTheProcessChangesNothing(t *testing.T) {
	w := newTown()
	w.stamper.DryRun = true
	r := w.stamper.Stamp(t.Context(), scale(4))
	if !slices.Equal(r.Victims, []string{"a", "b"}) || w.patches() > 0 || r.Held > 0 {
		t.Errorf("%+v with patches: a dry run only says what it would do", r)
	}
}

func TestAnAPIServerThatFailsIsATroubleAndNoMore(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, "a", errors.New("somebody was faster"))
	cases := []struct {
		name     string
		verb     string
		resource string
		faults   []error
		reason   string
		set      int
	}{
		{"the Deployment cannot be read", "get", "deployments", repeat(errors.New("boom"), 9), scalein.ReasonUnreadable, 0},
		{"pods cannot be listed", "list", "pods", repeat(errors.New("boom"), 9), scalein.ReasonUnreadable, 0},
		{"ReplicaSets cannot be listed", "list", "replicasets", repeat(errors.New("boom"), 9), scalein.ReasonUnreadable, 0},
		{"a patch that meets another is tried again", "patch", "pods", repeat(conflict, 2), "", 2},
		{"patches that always conflict are given up", "patch", "pods", repeat(conflict, 99), scalein.ReasonNoStamp, 0},
		{"patches are forbidden", "patch", "pods", repeat(apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "a", errors.New("policy")), 9), scalein.ReasonNoStamp, 0},
		{"a pod that is gone meanwhile is no trouble", "patch", "pods", repeat(apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "a"), 9), "", 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTown()
				var mu sync.Mutex
				w.client.PrependReactor(c.verb, c.resource, func(kubetesting.Action) (bool, runtime.Object, error) {
					mu.Lock()
					defer mu.Unlock()
					if len(c.faults) == 0 {
						return false, nil, nil
					}
					fault := c.faults[0]
					c.faults = c.faults[1:]
					return true, nil, fault
				})
				r := w.stamper.Stamp(t.Context(), scale(4))
				reason := ""
				if len(r.Troubles) > 0 {
					reason = r.Troubles[0].Reason
				}
				if reason != c.reason || r.Set != c.set {
					t.Errorf("trouble %q with %d stamps, want %q with %d: %+v", reason, r.Set, c.reason, c.set, r)
				}
			})
		})
	}
}

func repeat(err error, times int) []error {
	return slices.Repeat([]error{err}, times)
}

func TestOldStampsAreClearedBeforeNewOnesAreSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(func(name string, p *corev1.Pod) {
			if name >= "d" {
				p.Annotations[keys.AnnotationDeletionCost] = strconv.Itoa(int(stamp.Lowest) + int(name[0]))
			}
		})
		w.stamper.Stamp(t.Context(), scale(3))
		var patched []string
		for _, action := range w.client.Actions() {
			if patch, ok := action.(kubetesting.PatchAction); ok {
				patched = append(patched, patch.GetName())
			}
		}
		if len(patched) != 6 {
			t.Fatalf("patched %v", patched)
		}
		for _, name := range patched[:3] {
			if name < "d" {
				t.Errorf("%s was stamped while old stamps still lay on others: %v", name, patched)
			}
		}
	})
}

func review(t *testing.T, resource, sub string, before, after any) *admission.AdmissionRequest {
	t.Helper()
	marshal := func(object any) runtime.RawExtension {
		raw, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		return runtime.RawExtension{Raw: raw}
	}
	return &admission.AdmissionRequest{
		Operation: admission.Update, Namespace: "chat", Name: "socket", SubResource: sub,
		Resource:  metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: resource},
		OldObject: marshal(before), Object: marshal(after),
	}
}

func TestRequestsAreUnderstood(t *testing.T) {
	count := func(n int32) *int32 { return &n }
	deployment := func(n *int32, image string) appsv1.Deployment {
		return appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: n, Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: image}}}}}}
	}
	cases := []struct {
		name     string
		request  *admission.AdmissionRequest
		from, to int
		template bool
		lowers   bool
	}{
		{"a scale", review(t, "deployments", "scale", autoscaling.Scale{Spec: autoscaling.ScaleSpec{Replicas: 6}}, autoscaling.Scale{Spec: autoscaling.ScaleSpec{Replicas: 2}}), 6, 2, false, true},
		{"a scale to zero, which JSON leaves out", review(t, "deployments", "scale", autoscaling.Scale{Spec: autoscaling.ScaleSpec{Replicas: 6}}, autoscaling.Scale{}), 6, 0, false, true},
		{"a scale out", review(t, "deployments", "scale", autoscaling.Scale{Spec: autoscaling.ScaleSpec{Replicas: 2}}, autoscaling.Scale{Spec: autoscaling.ScaleSpec{Replicas: 6}}), 2, 6, false, false},
		{"a Deployment", review(t, "deployments", "", deployment(count(6), "v1"), deployment(count(5), "v1")), 6, 5, false, true},
		{"a Deployment with another template", review(t, "deployments", "", deployment(count(6), "v1"), deployment(count(5), "v2")), 6, 5, true, true},
		{"a Deployment without a count has one", review(t, "deployments", "", deployment(count(2), "v1"), deployment(nil, "v1")), 2, 1, false, true},
		{"a ReplicaSet", review(t, "replicasets", "", appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Replicas: count(6)}}, appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Replicas: count(4)}}), 6, 4, false, true},
	}
	for _, c := range cases {
		got, err := scalein.Read(c.request)
		if err != nil || got.From != c.from || got.To != c.to || got.Template != c.template || got.Lowers() != c.lowers {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	bad := review(t, "statefulsets", "scale", autoscaling.Scale{}, autoscaling.Scale{})
	if _, err := scalein.Read(bad); err == nil || !strings.Contains(err.Error(), "point the webhook at") {
		t.Errorf("a StatefulSet: %v", err)
	}
}

func TestTheBalancerIsAskedOverHTTP(t *testing.T) {
	// The real client against a round tripper that answers as the balancer does.
	w := newTown()
	answer := func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Get("fleet") != "chat/socket" {
			t.Errorf("asked for %q", r.URL)
		}
		recorder := newRecorder(`{"fleet":"chat/socket","victims":["c","a"],"tableVersion":3}`)
		return recorder, nil
	}
	w.stamper.Order = victims.NewClient("http://balancer:9091", roundTripper(answer))
	w.stamper.Settle = 0
	if r := w.stamper.Stamp(t.Context(), scale(4)); !slices.Equal(r.Victims, []string{"c", "a"}) {
		t.Errorf("victims %v, want c and a", r.Victims)
	}
}
