package cluster_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

func TestASettledFleetIsToldWhole(t *testing.T) {
	w := newWorld(t, "shop")
	w.settled()
	want := &load.Cluster{
		Spec: 2, Status: 2,
		Pods: map[fleet.NodeID]load.Pod{"chat-1-a": {Ready: true}, "chat-1-b": {Ready: true}},
	}
	got := *w.facts()
	got.Warnings = nil // the test's object gives no behaviour
	if diff := cmp.Diff(want, &got); diff != "" {
		t.Errorf("the fleet is told wrong:\n%s", diff)
	}
	if p := w.policy(); p.MaxReplicas != 20 || p.Margin != 1.3 {
		t.Errorf("maxReplicas %d, margin %v: want the ScaledObject's over the policy file's", p.MaxReplicas, p.Margin)
	}
}

func TestAFleetWithoutAPolicyOfItsOwnIsNotDecidedOn(t *testing.T) {
	w := newWorldWith(t, func(w *world) {
		refused := object("lost", "maxReplicas", "lots")
		refused.Object["spec"].(map[string]any)["scaleTargetRef"] = map[string]any{"name": "lost"}
		w.putObject(refused)
		misled := object("misled", "fleet", "other")
		misled.Object["spec"].(map[string]any)["scaleTargetRef"] = map[string]any{"name": "misled"}
		w.putObject(misled)
	}, "shop")
	w.settled()
	for _, c := range []struct {
		id   fleet.ID
		want string
	}{
		{fleet.ID{Namespace: "bank", Name: "chat"}, "--fleet-namespaces"},
		{fleet.ID{Namespace: "shop", Name: "other"}, "no ScaledObject scales the fleet"},
		{fleet.ID{Namespace: "shop", Name: "misled"}, "no ScaledObject scales the fleet"},
		{fleet.ID{Namespace: "shop", Name: "lost"}, `maxReplicas "lots"`},
	} {
		if v := w.Look(c.id); v.Policy != nil || v.Cluster != nil || !strings.Contains(v.NoPolicy, c.want) {
			t.Errorf("%s: policy %v, no policy for %q, want %q: the rules of all fleets may cut this one", c.id, v.Policy, v.NoPolicy, c.want)
		}
	}
	if !strings.Contains(w.log.String(), "nothing is decided") {
		t.Errorf("nobody is told that the refused policy stops all decisions:\n%s", w.log)
	}
}

func TestOneWatchOfAllNamespacesKnowsEachFleet(t *testing.T) {
	w := newWorld(t, meta.NamespaceAll)
	w.settled()
	if c := w.facts(); c == nil || len(c.Pods) != 2 {
		t.Errorf("the fleet is %+v, want its two pods", c)
	}
}

func TestPodsAsKubernetesTellsOfThem(t *testing.T) {
	w := newWorld(t, "shop")
	w.settled()
	now := meta.Now()
	waiting := func(reason string) func(*core.Pod) {
		return func(p *core.Pod) {
			p.Status.Conditions = nil
			p.Status.ContainerStatuses = []core.ContainerStatus{{RestartCount: 4, State: core.ContainerState{Waiting: &core.ContainerStateWaiting{Reason: reason}}}}
		}
	}
	// unready is a pod that is not ready since now, and whose container runs, if it does, since so long after that.
	unready := func(begun time.Duration, runs bool) func(*core.Pod) {
		return func(p *core.Pod) {
			p.Status.Conditions = []core.PodCondition{{Type: core.PodReady, Status: core.ConditionFalse, LastTransitionTime: now}}
			p.Status.ContainerStatuses = make([]core.ContainerStatus, 1)
			if runs {
				p.Status.ContainerStatuses[0].State.Running = &core.ContainerStateRunning{StartedAt: meta.NewTime(now.Add(begun))}
			}
		}
	}
	for _, c := range []struct {
		name   string
		change func(*core.Pod)
		want   load.Pod
	}{
		{"ready", func(*core.Pod) {}, load.Pod{Ready: true}},
		{"not ready", func(p *core.Pod) { p.Status.Conditions = nil }, load.Pod{}},
		{"ready once and no more", unready(-time.Minute, true), load.Pod{Fell: true}},
		{"not ready since before it ran", unready(time.Minute, true), load.Pod{}},
		{"not ready since it crashed", unready(-time.Minute, false), load.Pod{}},
		{"being made", waiting("ContainerCreating"), load.Pod{Restarts: 4}},
		{"in a crash loop", waiting("CrashLoopBackOff"), load.Pod{Restarts: 4, Trouble: "CrashLoopBackOff"}},
		{"without its image", waiting("ImagePullBackOff"), load.Pod{Restarts: 4, Trouble: "ImagePullBackOff"}},
		{"without its image, and nobody may pull", waiting("ErrImageNeverPull"), load.Pod{Restarts: 4, Trouble: "ErrImageNeverPull"}},
		{"without its secret", waiting("CreateContainerConfigError"), load.Pod{Restarts: 4, Trouble: "CreateContainerConfigError"}},
		{"without a machine", func(p *core.Pod) {
			p.Status.Conditions = []core.PodCondition{{Type: core.PodScheduled, Status: core.ConditionFalse, Reason: "Unschedulable"}}
		}, load.Pod{Trouble: "Unschedulable"}},
		{"held back by a gate", func(p *core.Pod) {
			p.Status.Conditions = []core.PodCondition{{Type: core.PodScheduled, Status: core.ConditionFalse, Reason: "SchedulingGated"}}
		}, load.Pod{}},
		{"asked to go", func(p *core.Pod) { p.DeletionTimestamp, p.Finalizers = &now, []string{"x/y"} }, load.Pod{Ready: true, Deleting: true}},
	} {
		w.putPod("chat-1-b", "chat-1", c.change)
		w.eventually(c.name, func() bool { return cmp.Equal(w.facts().Pods["chat-1-b"], c.want) })
	}
	w.putPod("chat-1-b", "chat-1", func(p *core.Pod) { p.Status.Phase = core.PodFailed })
	w.eventually("a pod that is over is none", func() bool { return len(w.facts().Pods) == 1 })
	w.putPod("stray", "other-set", func(*core.Pod) {})
	w.putPod("chat-1-c", "chat-1", func(*core.Pod) {})
	w.eventually("only the Deployment's own pods count", func() bool {
		pods := w.facts().Pods
		_, stray := pods["stray"]
		return len(pods) == 2 && !stray
	})
}

func TestARolloutIsSeenWithItsOldPods(t *testing.T) {
	w := newWorld(t, "shop")
	w.settled()
	w.putDeployment(func(d *apps.Deployment) {
		d.Generation, d.Status.ObservedGeneration = 2, 2
		d.Status.Replicas, d.Status.UpdatedReplicas = 3, 1
	})
	w.putSet("chat-10", "10") // later than 9 though not in the alphabet
	w.putSet("chat-1", "9")
	w.putPod("chat-10-a", "chat-10", func(*core.Pod) {})
	w.eventually("the rollout is seen", func() bool {
		c := w.facts()
		return c.Rolling && c.Spec == 2 && c.Status == 3 && len(c.Pods) == 3 &&
			c.Pods["chat-1-a"].Old && c.Pods["chat-1-b"].Old && !c.Pods["chat-10-a"].Old
	})
	w.putDeployment(func(d *apps.Deployment) { d.Generation, d.Status.ObservedGeneration = 3, 2 })
	w.eventually("a template that the controller has not seen is a rollout", func() bool { return w.facts().Rolling && w.facts().Status == 2 })
	w.putDeployment(func(*apps.Deployment) {})
	w.eventually("the rollout is over", func() bool { return !w.facts().Rolling })
}

// A canary may stand for days: its old pods are as good as the new one meanwhile.
func TestARolloutThatDoesNotGoOnHasNoOldPods(t *testing.T) {
	for name, change := range map[string]func(*apps.Deployment){
		"paused": func(d *apps.Deployment) { d.Spec.Paused = true },
		"given up": func(d *apps.Deployment) {
			d.Status.Conditions = []apps.DeploymentCondition{{Type: apps.DeploymentProgressing, Status: core.ConditionFalse, Reason: "ProgressDeadlineExceeded"}}
		},
	} {
		w := newWorld(t, "shop")
		w.settled()
		w.putSet("chat-2", "2")
		w.putPod("chat-2-a", "chat-2", func(*core.Pod) {})
		w.eventually("the rollout has old pods", func() bool { return w.facts().Pods["chat-1-a"].Old })
		w.putDeployment(change)
		w.eventually("a rollout that is "+name+" has none", func() bool { return !w.facts().Pods["chat-1-a"].Old })
	}
}

func TestTheHPAIsReadBack(t *testing.T) {
	w := newWorld(t, "shop")
	w.settled()
	if w.facts().HPA.Found {
		t.Fatal("an HPA that is not there was found: KEDA that is paused would look like a missing tolerance")
	}
	zero := 0.0
	for _, c := range []struct {
		name     string
		up, down *autoscaling.HPAScalingRules
		want     load.Autoscaler
	}{
		{"no behaviour", nil, nil, load.Autoscaler{}},
		{"tolerance 0 both ways", rules(t, "0", ""), rules(t, "0", "", "pods 4/15"), load.Autoscaler{Up: &zero, Down: &zero}},
		{"the field was dropped", rules(t, "", ""), rules(t, "", "Max", "pods 1/15"), load.Autoscaler{InByOne: 15 * time.Second}},
		{"a second policy allows more", nil, rules(t, "", "Max", "pods 1/15", "percent 10/60"), load.Autoscaler{}},
		{"the strictest counts", nil, rules(t, "", "Min", "pods 1/30", "percent 10/60"), load.Autoscaler{InByOne: 30 * time.Second}},
		{"nothing may leave", nil, rules(t, "", "Disabled", "pods 1/15"), load.Autoscaler{}},
	} {
		var behavior *autoscaling.HorizontalPodAutoscalerBehavior
		if c.up != nil || c.down != nil {
			behavior = &autoscaling.HorizontalPodAutoscalerBehavior{ScaleUp: c.up, ScaleDown: c.down}
		}
		w.putHPA(behavior)
		c.want.Found, c.want.Min, c.want.Max = true, 2, 20
		w.eventually(c.name, func() bool { return cmp.Equal(w.facts().HPA, c.want) })
	}
}

func TestABadPolicyLeavesTheLastGoodOne(t *testing.T) {
	w := newWorld(t, "shop")
	w.settled()
	for range 3 {
		w.putObject(object("chat", "maxReplicas", "lots"))
		w.eventually("the fault is told", func() bool { return strings.Contains(w.facts().Fault, `maxReplicas "lots"`) })
	}
	if p := w.policy(); p.MaxReplicas != 20 || w.Look(chat).NoPolicy != "" {
		t.Errorf("no policy for %q, maxReplicas %d: a typing error must not resize a fleet", w.Look(chat).NoPolicy, p.MaxReplicas)
	}
	if n := strings.Count(w.log.String(), "cannot be used"); n != 1 {
		t.Errorf("the fault was logged %d times, want once\n%s", n, w.log)
	}
	w.putObject(object("chat", "maxReplicas", "15"))
	w.eventually("the new policy counts", func() bool {
		return w.policy().MaxReplicas == 15 && w.facts().Fault == ""
	})
	if warnings := strings.Join(w.facts().Warnings, "\n"); !strings.Contains(warnings, "the tighter, 15") || !strings.Contains(warnings, "scaleUp is missing") {
		t.Errorf("warnings are %q, want the limits that differ and the missing behaviour", warnings)
	}
}

func TestADeletedScaledObjectLeavesItsPolicy(t *testing.T) {
	w := newWorld(t, "shop")
	w.settled()
	w.putHPA(nil)
	w.eventually("the HPA is there", func() bool { return w.facts().HPA.Found })
	w.deleteObject("chat")
	w.eventually("the HPA is no more this fleet's", func() bool { return !w.facts().HPA.Found })
	if p := w.policy(); p.MaxReplicas != 20 || w.Look(chat).NoPolicy != "" {
		t.Errorf("no policy for %q, maxReplicas %d: who applies the object anew must not find the fleet cut", w.Look(chat).NoPolicy, p.MaxReplicas)
	}
}

func TestAnotherObjectsFleetIsLeftAlone(t *testing.T) {
	w := newWorld(t, "shop")
	w.settled()
	stranger := object("stranger", "fleet", "chat", "maxReplicas", "3")
	stranger.Object["spec"].(map[string]any)["scaleTargetRef"] = map[string]any{"name": "stranger"}
	w.putObject(stranger)
	second := object("zz-second", "fleet", "chat", "maxReplicas", "4")
	w.putObject(second)
	w.putObject(object("chat", "maxReplicas", "14"))
	w.eventually("the fleet's own object counts", func() bool { return w.policy().MaxReplicas == 14 })
	stranger.SetLabels(map[string]string{"touched": "yes"})
	w.putObject(stranger)
	w.putObject(object("chat", "maxReplicas", "13"))
	w.eventually("all was heard", func() bool { return w.policy().MaxReplicas == 13 })
	if n := strings.Count(w.log.String(), "another Deployment's fleet"); n != 1 {
		t.Errorf("the stranger was warned of %d times, want once:\n%s", n, w.log)
	}
	if p := w.Look(fleet.ID{Namespace: "shop", Name: "stranger"}).Policy; p != nil {
		t.Errorf("the stranger has policy %+v though it asks for another Deployment's count", p)
	}
}

func TestWhileAListIsRefusedNothingIsSaid(t *testing.T) {
	w := newWorldWith(t, func(w *world) {
		w.kube.PrependReactor("list", "horizontalpodautoscalers", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, errors.New("forbidden")
		})
	}, "shop")
	w.eventually("the others are listed", func() bool { return strings.Contains(w.log.String(), "a ScaledObject sets the policy") })
	v := w.Look(chat)
	if v.Policy != nil || v.Cluster != nil || !strings.Contains(v.NoPolicy, "has not told yet of") {
		t.Errorf("view %+v: the fleet counts as known though its HPA is not", v)
	}
}

func TestEventsAreOnTheObjectAndTheDeployment(t *testing.T) {
	w := newWorld(t, "shop")
	w.settled()
	w.Tell(chat, true, "PodsStuck", strings.Repeat("é", 2000))
	w.Tell(fleet.ID{Namespace: "bank", Name: "chat"}, false, "Nobody", "is told")
	about := map[string]core.Event{}
	w.eventually("both were told", func() bool {
		list, err := w.kube.CoreV1().Events("shop").List(t.Context(), meta.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			about[e.InvolvedObject.Kind] = e
		}
		return len(about) == 2
	})
	for kind, uid := range map[string]string{"ScaledObject": "u-chat", "Deployment": "d-1"} {
		e := about[kind]
		if string(e.InvolvedObject.UID) != uid || e.InvolvedObject.Name != "chat" || e.Reason != "PodsStuck" || e.Type != core.EventTypeWarning || e.Source.Component != "tidegate-balancer" {
			t.Errorf("%s was told %+v: kubectl describe would not show it", kind, e)
		}
		if len(e.Message) > 1024 || !strings.HasSuffix(e.Message, " …") {
			t.Errorf("%s was told %d bytes that end in %q: the API server takes 1024", kind, len(e.Message), e.Message[len(e.Message)-8:])
		}
	}
}
