package ranking_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/webhook/ranking"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// serving is a pod that has been ready for an hour, changed as a test wants.
func serving(name string, changes ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: types.UID(name), Annotations: map[string]string{}, CreationTimestamp: metav1.NewTime(now.Add(-time.Hour)),
		},
		Spec: corev1.PodSpec{NodeName: "machine-" + name},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning,
			Conditions: []corev1.PodCondition{{
				Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-time.Hour)),
			}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "app"}},
		},
	}
	for _, change := range changes {
		change(pod)
	}
	return pod
}

func unassigned(p *corev1.Pod) { p.Spec.NodeName = ""; p.Status.Phase = corev1.PodPending; notReady(p) }
func pending(p *corev1.Pod)    { p.Status.Phase = corev1.PodPending; notReady(p) }
func unknown(p *corev1.Pod)    { p.Status.Phase = corev1.PodUnknown }
func notReady(p *corev1.Pod)   { p.Status.Conditions[0].Status = corev1.ConditionFalse }

func cost(text string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Annotations[keys.AnnotationDeletionCost] = text }
}

func on(machine string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.NodeName = machine } }

func readyFor(d time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Conditions[0].LastTransitionTime = metav1.NewTime(now.Add(-d)) }
}

func created(d time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(now.Add(-d)) }
}

func restarted(times int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.ContainerStatuses[0].RestartCount = times }
}

func sidecarRestarted(times int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		always := corev1.ContainerRestartPolicyAlways
		p.Spec.InitContainers = []corev1.Container{{Name: "proxy", RestartPolicy: &always}}
		p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "proxy", RestartCount: times}}
	}
}

func initRestarted(times int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.InitContainers = []corev1.Container{{Name: "setup"}}
		p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "setup", RestartCount: times}}
	}
}

func TestThePodThatKubernetesDeletesFirst(t *testing.T) {
	cases := []struct {
		name        string
		first, then *corev1.Pod
	}{
		{"one without a machine goes before a pending one", serving("b", unassigned), serving("a", pending)},
		{"a pending one goes before an unknown one", serving("b", pending), serving("a", unknown)},
		{"an unknown one goes before a running one", serving("b", unknown), serving("a")},
		{"one that is not ready goes before a ready one, whatever that costs", serving("b", notReady, cost("100")), serving("a", cost("-100"))},
		{"the lower cost goes first", serving("b", cost("-1")), serving("a")},
		{"costs are numbers, not text", serving("b", cost("9")), serving("a", cost("10"))},
		{"the lowest int32 goes first", serving("b", cost("-2147483648")), serving("a", cost("-2147483647"))},
		{"a cost goes before the time it is ready", serving("b", cost("-1"), readyFor(24*time.Hour)), serving("a", readyFor(time.Second))},
		{"who got ready later by an order of magnitude goes first", serving("b", readyFor(time.Minute)), serving("a", readyFor(time.Hour))},
		{"who got ready at some time unknown goes first", serving("b", func(p *corev1.Pod) { p.Status.Conditions[0].LastTransitionTime = metav1.Time{} }), serving("a")},
		{"ready for about as long goes by UID, not by time", serving("a", readyFor(61*time.Minute)), serving("b", readyFor(60*time.Minute))},
		{"more restarts go first", serving("b", restarted(2)), serving("a", restarted(1))},
		{"a sidecar's restarts break a tie", serving("b", sidecarRestarted(1)), serving("a", sidecarRestarted(0))},
		{"restarts go before a sidecar's", serving("b", restarted(1)), serving("a", sidecarRestarted(5))},
		{"the younger by an order of magnitude goes first", serving("b", created(time.Minute)), serving("a")},
		{"one from the future is the youngest", serving("b", created(-time.Minute)), serving("a", created(time.Second))},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, pods := range [][]*corev1.Pod{{c.first, c.then}, {c.then, c.first}} {
				if got := ranking.Order(pods, pods, now); got[0] != c.first {
					t.Errorf("%s goes first: the pods named as victims would not be those that Kubernetes deletes", got[0].Name)
				}
			}
		})
	}
}

func TestInitContainersThatAreNoSidecarsDoNotCount(t *testing.T) {
	a, b := serving("a", initRestarted(0)), serving("b", initRestarted(7))
	if got := ranking.Order([]*corev1.Pod{a, b}, nil, now); got[0] != a {
		t.Error("restarts of an init container moved a pod")
	}
}

func TestThePodOnTheFullestMachineGoesFirst(t *testing.T) {
	alone := serving("a", on("quiet"))
	shared := serving("b", on("full"))
	other := serving("c", on("full"))
	leaving := serving("d", on("quiet"), func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now} })
	got := ranking.Order([]*corev1.Pod{alone, shared}, []*corev1.Pod{alone, shared, other, leaving}, now)
	if got[0] != shared {
		t.Error("the pod that has its machine for itself goes first: pods of the same Deployment were not counted by machine")
	}
}

func TestCostsAreReadAsKubernetesReadsThem(t *testing.T) {
	cases := map[string]int32{
		"": 0, "0": 0, "1": 1, "-1": -1, "2147483647": 2147483647, "-2147483648": -2147483648,
		"+1": 0, "01": 0, "00": 0, "2147483648": 0, "1.5": 0, "text": 0, " 1": 0, "-": 0, "1e3": 0,
	}
	for text, want := range cases {
		if got := ranking.Cost(serving("a", cost(text))); got != want {
			t.Errorf("cost %q is read as %d, want %d", text, got, want)
		}
	}
	if got := ranking.Cost(&corev1.Pod{}); got != 0 {
		t.Errorf("a pod without annotations costs %d", got)
	}
}

func TestWhoIsCountedAndWhoIsEarly(t *testing.T) {
	ended := func(phase corev1.PodPhase) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Status.Phase = phase }
	}
	deleted := func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now} }
	cases := []struct {
		name          string
		pod           *corev1.Pod
		active, early bool
	}{
		{"serving", serving("a"), true, false},
		{"without a machine", serving("a", unassigned), true, true},
		{"pending", serving("a", pending), true, true},
		{"unknown", serving("a", unknown), true, true},
		{"not ready", serving("a", notReady), true, true},
		{"without a Ready condition", serving("a", func(p *corev1.Pod) { p.Status.Conditions = nil }), true, true},
		{"succeeded", serving("a", ended(corev1.PodSucceeded)), false, true},
		{"failed", serving("a", ended(corev1.PodFailed)), false, true},
		{"being deleted", serving("a", deleted), false, false},
	}
	for _, c := range cases {
		if got := ranking.Active(c.pod); got != c.active {
			t.Errorf("%s: counted %v", c.name, got)
		}
		if got := ranking.Early(c.pod); got != c.early {
			t.Errorf("%s: early %v", c.name, got)
		}
	}
}

// drawPod makes any pod, with few values of each kind, so that ties are many.
func drawPod(t *rapid.T, name string) *corev1.Pod {
	pod := serving(name)
	if rapid.Bool().Draw(t, "assigned") {
		pod.Spec.NodeName = rapid.SampledFrom([]string{"m1", "m2"}).Draw(t, "machine")
	} else {
		pod.Spec.NodeName = ""
	}
	pod.Status.Phase = rapid.SampledFrom([]corev1.PodPhase{"", corev1.PodPending, corev1.PodUnknown, corev1.PodRunning}).Draw(t, "phase")
	if rapid.Bool().Draw(t, "not ready") {
		notReady(pod)
	}
	cost(rapid.SampledFrom([]string{"", "0", "-5", "7", "bad"}).Draw(t, "cost"))(pod)
	ages := rapid.SampledFrom([]time.Duration{-time.Second, time.Second, time.Minute, 61 * time.Minute, time.Hour})
	readyFor(ages.Draw(t, "ready"))(pod)
	created(ages.Draw(t, "created"))(pod)
	restarted(rapid.Int32Range(0, 1).Draw(t, "restarts"))(pod)
	return pod
}

// stage is how far a pod has come, as the first three rules have it.
func stage(p *corev1.Pod) string {
	phases := map[corev1.PodPhase]string{corev1.PodUnknown: "1", corev1.PodRunning: "2"}
	phase, known := phases[p.Status.Phase]
	if !known {
		phase = "0"
	}
	return fmt.Sprint(p.Spec.NodeName != "", phase, ranking.Ready(p)) // "false" sorts before "true"
}

// TestNoPodGoesBeforeOneThatKubernetesPrefers checks the rules that are an order. Those on times are none, in Kubernetes
// neither: pods of about the same age are compared by UID, and others by other things.
func TestNoPodGoesBeforeOneThatKubernetesPrefers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var pods []*corev1.Pod
		for i := range rapid.IntRange(0, 12).Draw(t, "pods") {
			pods = append(pods, drawPod(t, fmt.Sprintf("pod-%02d", i)))
		}
		before := slices.Clone(pods)
		ordered := ranking.Order(pods, pods, now)
		if !slices.Equal(before, pods) {
			t.Error("the input was changed")
		}
		if len(ordered) != len(pods) {
			t.Fatalf("%d of %d pods are ordered", len(ordered), len(pods))
		}
		for i := 1; i < len(ordered); i++ {
			a, b := ordered[i-1], ordered[i]
			if stage(a) > stage(b) || stage(a) == stage(b) && ranking.Cost(a) > ranking.Cost(b) {
				t.Errorf("%s (%s, %d) goes before %s (%s, %d)", a.Name, stage(a), ranking.Cost(a), b.Name, stage(b), ranking.Cost(b))
			}
			if !ranking.Early(a) && ranking.Early(b) {
				t.Errorf("%s, which does not serve, stays while %s, which serves, is deleted", b.Name, a.Name)
			}
		}
	})
}

func BenchmarkOrderOf1000Pods(b *testing.B) {
	var pods []*corev1.Pod
	for i := range 1000 {
		pods = append(pods, serving(fmt.Sprintf("pod-%04d", i), readyFor(time.Duration(i)*time.Minute)))
	}
	for b.Loop() {
		ranking.Order(pods, pods, now)
	}
}
