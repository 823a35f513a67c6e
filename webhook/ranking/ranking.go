// Package ranking orders the pods of a ReplicaSet as Kubernetes' ReplicaSet controller does when it deletes some of them,
// read from pkg/controller/controller_utils.go (ActivePodsWithRanks) of Kubernetes 1.37.2.
package ranking

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidegate/tidegate/internal/keys"
)

// Active reports whether the controller counts the pod: one that has ended or is being deleted it does not.
func Active(pod *corev1.Pod) bool {
	return pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed && pod.DeletionTimestamp == nil
}

// Early reports whether the pod is deleted before any pod that serves, whatever either costs: it has no machine yet, has
// not started, or is not ready.
func Early(pod *corev1.Pod) bool {
	return pod.Spec.NodeName == "" || phase(pod) != phase(running) || !Ready(pod)
}

// Ready reports whether the pod's Ready condition is true.
func Ready(pod *corev1.Pod) bool {
	condition := readiness(pod)
	return condition != nil && condition.Status == corev1.ConditionTrue
}

// Cost is the deletion cost that the controller reads off a pod: zero when there is none or when it is not a canonical
// int32.
func Cost(pod *corev1.Pod) int32 {
	text := pod.Annotations[keys.AnnotationDeletionCost]
	// ParseInt takes a plus sign and leading zeros, which Kubernetes does not.
	if text == "" || text[0] == '+' || text[0] == '0' && text != "0" {
		return 0
	}
	cost, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0
	}
	return int32(cost)
}

// Order lists pods, all active and of one ReplicaSet, the first to be deleted first. Pods of related, those of all
// ReplicaSets of the same Deployment, are counted by machine: who shares one with many goes first. Times are compared by
// their order of magnitude before now, as the controller does. The input is not changed.
func Order(pods, related []*corev1.Pod, now time.Time) []*corev1.Pod {
	colocated := make(map[string]int)
	for _, pod := range related {
		if Active(pod) {
			colocated[pod.Spec.NodeName]++
		}
	}
	ordered := slices.Clone(pods)
	slices.SortStableFunc(ordered, func(a, b *corev1.Pod) int {
		return cmp.Or(
			compareStages(a, b),
			cmp.Compare(Cost(a), Cost(b)),
			cmp.Compare(colocated[b.Spec.NodeName], colocated[a.Spec.NodeName]),
			compareTimes(a, b, readySince(a), readySince(b), now),
			compareRestarts(a, b),
			compareTimes(a, b, a.CreationTimestamp, b.CreationTimestamp, now),
		)
	})
	return ordered
}

// compareStages puts pods that have come less far first: without a machine, pending, unknown, not ready.
func compareStages(a, b *corev1.Pod) int {
	return cmp.Or(
		compareBools(a.Spec.NodeName != "", b.Spec.NodeName != ""),
		cmp.Compare(phase(a), phase(b)),
		compareBools(Ready(a), Ready(b)),
	)
}

// running is a pod of which only the phase counts.
var running = &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning}}

// phase ranks a pod's phase; what the controller does not know counts as pending.
func phase(pod *corev1.Pod) int {
	switch pod.Status.Phase {
	case corev1.PodUnknown:
		return 1
	case corev1.PodRunning:
		return 2
	default:
		return 0
	}
}

func readiness(pod *corev1.Pod) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == corev1.PodReady {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// readySince is when the pod got ready; zero when it is not.
func readySince(pod *corev1.Pod) metav1.Time {
	if condition := readiness(pod); condition != nil && condition.Status == corev1.ConditionTrue {
		return condition.LastTransitionTime
	}
	return metav1.Time{}
}

// compareTimes puts what is younger by an order of magnitude first, and what has no time before that. The controller
// breaks ties by UID, so that pods of the same age leave in no particular order.
func compareTimes(a, b *corev1.Pod, ta, tb metav1.Time, now time.Time) int {
	switch {
	case ta.Equal(&tb):
		return 0
	case ta.IsZero():
		return -1
	case tb.IsZero():
		return 1
	}
	return cmp.Or(cmp.Compare(magnitude(now.Sub(ta.Time)), magnitude(now.Sub(tb.Time))), cmp.Compare(a.UID, b.UID))
}

// magnitude is the whole part of an age's binary logarithm, -1 for none.
func magnitude(age time.Duration) int64 {
	if age <= 0 {
		return -1
	}
	return int64(math.Log2(float64(age)))
}

// compareRestarts puts the pod with the container that restarted most first; sidecars only break ties.
func compareRestarts(a, b *corev1.Pod) int {
	mainA, sideA := restarts(a)
	mainB, sideB := restarts(b)
	return cmp.Or(cmp.Compare(mainB, mainA), cmp.Compare(sideB, sideA))
}

func restarts(pod *corev1.Pod) (main, sidecars int32) {
	for i := range pod.Status.ContainerStatuses {
		main = max(main, pod.Status.ContainerStatuses[i].RestartCount)
	}
	for i := range pod.Status.InitContainerStatuses {
		status := &pod.Status.InitContainerStatuses[i]
		if sidecar(pod, status.Name) {
			sidecars = max(sidecars, status.RestartCount)
		}
	}
	return main, sidecars
}

func sidecar(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
		return c.Name == name && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
	})
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}
