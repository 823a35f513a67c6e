package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubetesting "k8s.io/client-go/testing"

	"github.com/tidegate/tidegate/webhook/victims"
)

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

func TestTheDeploymentControllerIsNoSecondActuator(t *testing.T) {
	w := newTown(t, nil, inOrder("b", "a", "c"))
	set := fleetOfThree()[1].(*appsv1.ReplicaSet)
	after, two := set.DeepCopy(), int32(2)
	after.Spec.Replicas = &two
	raw := func(object any) string {
		text, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	review := change(scaleIn, `"deployments"`, `"replicasets"`, `"name":"socket"`, `"name":"socket-1"`, `"subResource":"scale",`, ``, hpa, "system:serviceaccount:kube-system:deployment-controller",
		`{"kind":"Scale","spec":{"replicas":3}}`, raw(set), `{"kind":"Scale","spec":{"replicas":2}}`, raw(after))
	answer := w.post(t, PathStamp, []byte(review)).Response
	if !answer.Allowed || len(answer.Warnings) > 0 || !slices.Equal(w.patchedPods(), []string{"b"}) {
		t.Errorf("%+v, stamped %v", answer, w.patchedPods())
	}
	if len(w.events.events) != 1 {
		t.Errorf("events %q", w.events.events)
	}
}

func TestTroubleIsSaidEverywhere(t *testing.T) {
	twice := errors.Join(errors.New("connection refused"), errors.New("connection refused"))
	w := newTown(t, nil, func() ([]string, error) { return nil, twice })
	answer := w.post(t, PathStamp, []byte(scaleIn)).Response
	if !answer.Allowed || len(answer.Warnings) != 1 || !strings.Contains(answer.Warnings[0], "the balancer does not say") ||
		strings.Contains(answer.Warnings[0], "\n") {
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

// A review that anybody can send must not make series without end.
func TestForgedReviewsMakeNoLabels(t *testing.T) {
	w := newTown(t, nil, inOrder("b", "a", "c"))
	for i := range 50 {
		ghost := fmt.Sprintf(`"name":"ghost-%d"`, i)
		w.post(t, PathStamp, []byte(change(scaleIn, `"name":"socket"`, ghost, hpa, "alice")))
	}
	w.client.PrependReactor("get", "deployments", func(kubetesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("connection refused")
	})
	for i := range 50 {
		ghost := fmt.Sprintf(`"name":"ghost-%d"`, i)
		answer := w.post(t, PathStamp, []byte(change(scaleIn, `"name":"socket"`, ghost, hpa, "alice"))).Response
		if !answer.Allowed || len(answer.Warnings) != 1 || !strings.Contains(answer.Warnings[0], "cannot be read") {
			t.Fatalf("%+v", answer)
		}
	}
	families, err := w.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, series := range family.GetMetric() {
			for _, label := range series.GetLabel() {
				if strings.Contains(label.GetValue(), "ghost") {
					t.Fatalf("%s has a series for %s, which does not exist: names without end fill the memory", family.GetName(), label.GetValue())
				}
			}
		}
	}
	if got := counted64(t, w.meters.admissions.WithLabelValues("scale-in", resultRefuted)); got != 50 {
		t.Errorf("%v reviews were refuted, want 50", got)
	}
	if got := counted64(t, w.meters.troubles.WithLabelValues(fleetUnread, "ScaleInStateUnreadable")); got != 50 {
		t.Errorf("%v troubles with what cannot be read, want 50", got)
	}
	if len(w.events.events) > 0 {
		t.Errorf("events %q about what does not exist", w.events.events)
	}
}

func TestTooManyScaleInsAtOnceAreLetThrough(t *testing.T) {
	w := newTown(t, nil, inOrder("b", "a", "c"))
	for range maxStamping {
		w.stamping <- struct{}{}
	}
	answer := w.post(t, PathStamp, []byte(scaleIn)).Response
	if !answer.Allowed || len(answer.Warnings) != 1 || !strings.Contains(answer.Warnings[0], "too many scale-ins") || len(w.client.Actions()) > 0 {
		t.Errorf("%+v: a flood of reviews fills the memory, or stops scaling", answer)
	}
	if got := counted64(t, w.meters.admissions.WithLabelValues("scale-in", resultBusy)); got != 1 {
		t.Errorf("%v reviews were too many", got)
	}
	<-w.stamping
	w.post(t, PathStamp, []byte(scaleIn))
	if !slices.Equal(w.patchedPods(), []string{"b"}) || len(w.stamping) != maxStamping-1 {
		t.Errorf("with a place free %v were stamped, and %d places are taken after it", w.patchedPods(), len(w.stamping))
	}
}

func TestADeploymentThatMayBeAFleetIsToldOnceInAWhile(t *testing.T) {
	w := newTown(t, nil, func() ([]string, error) { return nil, errors.New("connection refused") })
	at := time.Now()
	w.doubts.now = func() time.Time { return at }
	deployment := fleetOfThree()[0].(*appsv1.Deployment)
	deployment.Spec.Template.Labels = map[string]string{"app": "socket"}
	if err := w.client.Tracker().Update(appsv1.SchemeGroupVersion.WithResource("deployments"), deployment, "chat"); err != nil {
		t.Fatal(err)
	}
	const line = "nobody knows whether this is a fleet"
	for range 3 {
		if answer := w.post(t, PathStamp, []byte(scaleIn)).Response; !answer.Allowed || len(answer.Warnings) > 0 {
			t.Errorf("%+v: most Deployments are no fleets", answer)
		}
	}
	if got := strings.Count(w.logs.String(), line); got != 1 {
		t.Errorf("it was said %d times, want once", got)
	}
	at = at.Add(doubtQuiet)
	w.post(t, PathStamp, []byte(scaleIn))
	if got := strings.Count(w.logs.String(), line); got != 2 {
		t.Errorf("after a while it was said %d times, want twice", got)
	}
	if got := counted64(t, w.meters.doubtful); got != 4 {
		t.Errorf("%v are counted, want 4", got)
	}
}
