package stamp_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/webhook/ranking"
	"github.com/tidegate/tidegate/webhook/stamp"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// drawPod makes an active pod in any state, with any cost on it.
func drawPod(t *rapid.T, name string) *corev1.Pod {
	ready := rapid.SampledFrom([]corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionTrue, corev1.ConditionFalse}).Draw(t, "ready")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))},
		Spec:       corev1.PodSpec{NodeName: rapid.SampledFrom([]string{"m1", "m2", "m3", ""}).Draw(t, "machine")},
		Status: corev1.PodStatus{
			Phase:      rapid.SampledFrom([]corev1.PodPhase{corev1.PodRunning, corev1.PodRunning, corev1.PodPending, corev1.PodUnknown}).Draw(t, "phase"),
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready, LastTransitionTime: metav1.NewTime(now.Add(-time.Duration(rapid.IntRange(1, 1000).Draw(t, "since")) * time.Minute))}},
		},
	}
	text := rapid.OneOf(
		rapid.Just(""), rapid.Just(""),
		rapid.SampledFrom([]string{"-7", "100", "0", "bad", "-2147483648", "2147483647"}),
		rapid.Map(rapid.Int32Range(stamp.Lowest, stamp.Above-1), func(cost int32) string { return strconv.Itoa(int(cost)) }),
	).Draw(t, "cost")
	if text != "" {
		pod.Annotations = map[string]string{keys.AnnotationDeletionCost: text}
	}
	return pod
}

// apply does to pods what a plan says.
func apply(pods []*corev1.Pod, plan stamp.Plan) []*corev1.Pod {
	after := make([]*corev1.Pod, len(pods))
	byName := make(map[string]*corev1.Pod)
	for i, pod := range pods {
		after[i] = pod.DeepCopy()
		byName[pod.Name] = after[i]
	}
	for _, name := range plan.Clear {
		delete(byName[name].Annotations, keys.AnnotationDeletionCost)
	}
	for _, s := range plan.Set {
		if byName[s.Pod].Annotations == nil {
			byName[s.Pod].Annotations = make(map[string]string)
		}
		byName[s.Pod].Annotations[keys.AnnotationDeletionCost] = strconv.Itoa(int(s.Cost))
	}
	return after
}

func scaleIn(pods []*corev1.Pod, target int, at time.Time) stamp.ScaleIn {
	in := stamp.ScaleIn{Target: target, Now: at}
	for _, pod := range pods {
		cost, marked := stamp.Annotation{}.Read(pod)
		in.Pods = append(in.Pods, stamp.Pod{Name: pod.Name, Early: ranking.Early(pod), Marked: marked, Cost: cost})
	}
	return in
}

// TestKubernetesDeletesWhoDoesNotServeAndThenTheVictims plays the ReplicaSet controller after the stamps, whatever lay on
// the pods before.
func TestKubernetesDeletesWhoDoesNotServeAndThenTheVictims(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var pods []*corev1.Pod
		var names []string
		for i := range rapid.IntRange(1, 14).Draw(t, "pods") {
			names = append(names, fmt.Sprintf("pod-%02d", i))
			pods = append(pods, drawPod(t, names[i]))
		}
		order := rapid.Permutation(names).Draw(t, "order")
		target := rapid.IntRange(0, len(pods)).Draw(t, "target")
		leaving := len(pods) - target
		plan := scaleIn(pods, target, now).Begin().Finish(order)
		after := apply(pods, plan)

		var gone, serving []string
		for _, pod := range ranking.Order(after, after, now)[:leaving] {
			gone = append(gone, pod.Name)
		}
		early := 0
		for i, pod := range pods {
			if ranking.Early(pod) {
				early++
				if leaving >= early && leaving < len(pods) && plan.Unnamed == 0 && slices.Contains(plan.Victims, pod.Name) {
					t.Errorf("%s does not serve and is a victim", pod.Name)
				}
			} else {
				serving = append(serving, pod.Name)
			}
			userOwn := pod.Annotations[keys.AnnotationDeletionCost]
			if cost, marked := (stamp.Annotation{}).Read(pod); marked && !stamp.Ours(cost) && after[i].Annotations[keys.AnnotationDeletionCost] != userOwn {
				t.Errorf("the cost %q that a user gave %s became %q", userOwn, pod.Name, after[i].Annotations[keys.AnnotationDeletionCost])
			}
		}
		if target == 0 || leaving == 0 {
			if len(plan.Set)+len(plan.Clear)+len(plan.Victims) > 0 {
				t.Errorf("costs decide nothing, and pods are patched: %+v", plan)
			}
			return
		}
		for _, victim := range plan.Victims {
			if !slices.Contains(gone, victim) {
				t.Errorf("victim %s stays: %v leave", victim, gone)
			}
		}
		for _, name := range gone {
			if leaving <= early && slices.Contains(serving, name) {
				t.Errorf("%s serves and leaves, while there are pods that do not serve", name)
			}
			i := slices.Index(names, name)
			cost, marked := stamp.Annotation{}.Read(pods[i])
			wished := marked && !stamp.Ours(cost) && cost < 0
			if slices.Contains(serving, name) && !slices.Contains(plan.Victims, name) && !wished && plan.Unnamed == 0 {
				t.Errorf("%s leaves, whom neither the balancer nor a user named", name)
			}
		}
		// Admitted again a moment later, by another replica and with another order, nothing changes.
		again := scaleIn(after, target, now.Add(300*time.Millisecond)).Begin().Finish(rapid.Permutation(names).Draw(t, "another order"))
		if len(again.Set)+len(again.Clear) > 0 {
			t.Errorf("the same scale-in stamps again: %+v", again)
		}
		slices.Sort(again.Victims)
		slices.Sort(plan.Victims)
		if !slices.Equal(again.Victims, plan.Victims) {
			t.Errorf("the same scale-in has other victims: %v, then %v", plan.Victims, again.Victims)
		}
	})
}
