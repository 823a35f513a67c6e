package scalein_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
		r := w.stamper.Stamp(t.Context(), scale(5))
		if r.Deployment != nil || len(r.Troubles) > 0 || w.patches() > 0 {
			t.Errorf("a Deployment that never asked for anything was touched or complained of: %+v", r)
		}
		if known := errors.Is(fault, victims.ErrUnknownFleet); known == (r.Unsure != nil) {
			t.Errorf("unsure is %v when the balancer says %v: a fleet that cannot be told from another Deployment is never heard of", r.Unsure, fault)
		}
		w.fault = nil
		if r := w.stamper.Stamp(t.Context(), scale(5)); r.Set != 1 {
			t.Errorf("a fleet without the label, which the balancer knows, was not stamped: %+v", r)
		}
	}
}

func TestAReplicaSetOfNobodyIsLeftAlone(t *testing.T) {
	w := newTown()
	for name, owners := range map[string][]metav1.OwnerReference{
		"without a Deployment":               nil,
		"of a Deployment that is gone":       {{Kind: "Deployment", Name: "gone", UID: "gone", Controller: ptr(true)}},
		"of a Deployment before this one":    {{Kind: "Deployment", Name: "socket", UID: "before", Controller: ptr(true)}},
		"of another controller than a fleet": {{Kind: "Rollout", Name: "socket", UID: "deployment", Controller: ptr(true)}},
	} {
		w.set.OwnerReferences = owners
		if err := w.client.Tracker().Update(appsv1.SchemeGroupVersion.WithResource("replicasets"), w.set, "chat"); err != nil {
			t.Fatal(err)
		}
		if r := w.stamper.Stamp(t.Context(), w.shrink(5)); r.Deployment != nil || len(r.Troubles) > 0 || w.patches() > 0 {
			t.Errorf("a ReplicaSet %s was touched: %+v", name, r)
		}
	}
}

func ptr[T any](value T) *T { return &value }

// Whoever reaches the webhook's port can send it a review: what is not so in the cluster moves nothing.
func TestAForgedReviewChangesNothing(t *testing.T) {
	for name, forged := range map[string]scalein.Change{
		"a ReplicaSet that is not there":               {Namespace: "chat", Set: "ghost", From: 6, To: 2},
		"a Deployment that is not there":               {Namespace: "chat", Deployment: "ghost", From: 6, To: 2},
		"a ReplicaSet that has other replicas":         {Namespace: "chat", Set: "socket-1", From: 9, To: 5},
		"a Deployment that has other replicas":         {Namespace: "chat", Deployment: "socket", From: 9, To: 5},
		"a scale-in of a ReplicaSet that was, not is":  {Namespace: "chat", Set: "socket-1", From: 7, To: 6},
		"a scale-in of a Deployment that was, not is":  {Namespace: "chat", Deployment: "socket", From: 7, To: 6},
		"a ReplicaSet of that name somewhere else":     {Namespace: "game", Set: "socket-1", From: 6, To: 2},
		"a Deployment of that name in another project": {Namespace: "game", Deployment: "socket", From: 6, To: 2},
	} {
		w := newTown(func(name string, p *corev1.Pod) {
			if name == "e" {
				p.Annotations[keys.AnnotationDeletionCost] = "-2000000000"
			}
		})
		r := w.stamper.Stamp(t.Context(), forged)
		if !errors.Is(r.Refuted, scalein.ErrRefuted) || w.patches() > 0 || r.Deployment != nil || w.asked > 0 {
			t.Errorf("%s: stamps of a real scale-in can be cleared or moved by anybody: %+v", name, r)
		}
	}
}

func TestWhileTheBalancerIsAwayStampsOfAMomentAgoStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		w.order = strings.Split("fdbaec", "")
		w.stamper.Stamp(t.Context(), scale(2))
		first := w.leave(t, 2)
		w.patches()
		w.fault = errors.New("connection refused")
		// The ReplicaSet's own update is late, and meets a count of one more.
		<-time.After(20 * time.Second)
		r := w.stamper.Stamp(t.Context(), w.shrink(2))
		if got := w.leave(t, 2); !slices.Equal(got, first) || r.Cleared > 0 {
			t.Errorf("%v were chosen, and %v leave: %+v", first, got, r)
		}
		w.stamper.Stamp(t.Context(), w.shrink(3))
		if got := w.leave(t, 3); len(got) != 3 || !isSubset(got, first) {
			t.Errorf("%v were chosen, and %v leave", first, got)
		}
	})
}

func isSubset(some, all []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !slices.Contains(all, one) })
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
		{"the ReplicaSet cannot be read", "get", "replicasets", repeat(errors.New("boom"), 9), scalein.ReasonUnreadable, 0},
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
				change := scale(4)
				if c.verb == "get" && c.resource == "replicasets" {
					change = w.shrink(4)
				}
				r := w.stamper.Stamp(t.Context(), change)
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
