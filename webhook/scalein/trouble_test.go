package scalein_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubetesting "k8s.io/client-go/testing"

	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/webhook/scalein"
	"github.com/tidegate/tidegate/webhook/victims"
)

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
