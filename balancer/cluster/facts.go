package cluster

import (
	"strconv"
	"time"

	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/scaledobject"
)

// annotationRevision numbers the ReplicaSets of a Deployment; the newest has the highest.
const annotationRevision = "deployment.kubernetes.io/revision"

// troubles are the reasons for which a container waits that do not go away by waiting.
var troubles = map[string]bool{
	"CrashLoopBackOff": true, "ImagePullBackOff": true, "ErrImagePull": true, "ErrImageNeverPull": true,
	"InvalidImageName": true, "ImageInspectError": true, "RegistryUnavailable": true, "SignatureValidationFailed": true,
	"CreateContainerConfigError": true, "CreateContainerError": true, "RunContainerError": true, "PreCreateHookError": true,
	"PreStartHookError": true, "PostStartHookError": true,
}

// podOf boils a pod down.
func podOf(pod *core.Pod, newest string) load.Pod {
	p := load.Pod{Deleting: pod.DeletionTimestamp != nil, Old: newest != "" && controller(pod) != newest}
	for _, c := range pod.Status.Conditions {
		switch {
		case c.Type == core.PodReady:
			p.Ready = c.Status == core.ConditionTrue
			p.Fell = !p.Ready && fell(pod, c.LastTransitionTime)
		case c.Type == core.PodScheduled && c.Status == core.ConditionFalse && c.Reason == core.PodReasonUnschedulable:
			p.Trouble = load.Unschedulable
		}
	}
	for _, statuses := range [][]core.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			p.Restarts += int(statuses[i].RestartCount)
			if waiting := statuses[i].State.Waiting; waiting != nil && troubles[waiting.Reason] {
				p.Trouble = waiting.Reason
			}
		}
	}
	return p
}

// fell says that a pod which is not ready since some time was ready before, in the life that its containers now have: a pod
// that never was is not ready since before they began.
func fell(pod *core.Pod, since meta.Time) bool {
	for i := range pod.Status.ContainerStatuses {
		running := pod.Status.ContainerStatuses[i].State.Running
		if running == nil || !since.After(running.StartedAt.Time) {
			return false
		}
	}
	return len(pod.Status.ContainerStatuses) > 0
}

// kept says in words why KEDA takes no pod away of a fleet whose user paused it; empty where nobody did.
func kept(p scaledobject.Pause) string {
	switch {
	case p.All:
		return "KEDA is paused for the ScaledObject, so that nothing scales"
	case p.In:
		return "the ScaledObject's scaling in is paused, so that the HPA keeps all pods"
	default:
		return ""
	}
}

// over says that a pod has ended for good: its ReplicaSet makes another one.
func over(pod *core.Pod) bool {
	return pod.Status.Phase == core.PodFailed || pod.Status.Phase == core.PodSucceeded
}

// controller is the name of the object that made this one; empty when none did.
func controller(object meta.Object) string {
	if owner := meta.GetControllerOfNoCopy(object); owner != nil {
		return owner.Name
	}
	return ""
}

// newest is the name of the newest of a Deployment's ReplicaSets; empty when there is none.
func newest(sets []meta.Object) string {
	name, highest := "", -1
	for _, set := range sets {
		revision, err := strconv.Atoi(set.GetAnnotations()[annotationRevision])
		if err != nil {
			revision = 0
		}
		// Of two that claim one revision the younger name wins, so that every replica sees the same one.
		if revision > highest || revision == highest && set.GetName() > name {
			name, highest = set.GetName(), revision
		}
	}
	return name
}

// replaces says that a rollout is getting on with replacing the pods of older ReplicaSets. One that is paused or that has
// given up keeps them for as long as nobody looks.
func replaces(d *apps.Deployment) bool {
	if d.Spec.Paused {
		return false
	}
	for _, c := range d.Status.Conditions {
		if c.Type == apps.DeploymentProgressing && c.Status == core.ConditionFalse {
			return false
		}
	}
	return true
}

// rolling says that pods of two templates are there, or that the controller has not seen the newest template yet.
func rolling(d *apps.Deployment) bool {
	return d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas < d.Status.Replicas
}

// specReplicas is spec.replicas, which the API server sets to 1 where it is left out.
func specReplicas(d *apps.Deployment) int {
	if d.Spec.Replicas == nil {
		return 1
	}
	return int(*d.Spec.Replicas)
}

// autoscalerOf boils an HPA down.
func autoscalerOf(hpa *autoscaling.HorizontalPodAutoscaler) load.Autoscaler {
	a := load.Autoscaler{Found: true, Min: 1, Max: int(hpa.Spec.MaxReplicas)}
	if hpa.Spec.MinReplicas != nil {
		a.Min = int(*hpa.Spec.MinReplicas)
	}
	if hpa.Spec.Behavior == nil {
		return a
	}
	a.Up, a.Down = toleranceOf(hpa.Spec.Behavior.ScaleUp), toleranceOf(hpa.Spec.Behavior.ScaleDown)
	a.InByOne = byOne(hpa.Spec.Behavior.ScaleDown)
	return a
}

func toleranceOf(rules *autoscaling.HPAScalingRules) *float64 {
	if rules == nil || rules.Tolerance == nil {
		return nil
	}
	tolerance := rules.Tolerance.AsApproximateFloat64()
	return &tolerance
}

// byOne is the shortest time in which the rules let a second pod go, where they let pods go one by one only; else 0.
func byOne(rules *autoscaling.HPAScalingRules) time.Duration {
	if rules == nil || len(rules.Policies) == 0 {
		return 0
	}
	choice := autoscaling.MaxChangePolicySelect
	if rules.SelectPolicy != nil {
		choice = *rules.SelectPolicy
	}
	var shortest, longest time.Duration
	others := false
	for _, p := range rules.Policies {
		if p.Type != autoscaling.PodsScalingPolicy || p.Value != 1 {
			others = true
			continue
		}
		period := time.Duration(p.PeriodSeconds) * time.Second
		if shortest == 0 || period < shortest {
			shortest = period
		}
		longest = max(longest, period)
	}
	switch {
	case choice == autoscaling.MaxChangePolicySelect && !others:
		return shortest
	case choice == autoscaling.MinChangePolicySelect:
		return longest // the strictest rule counts, whatever the others allow
	default:
		return 0
	}
}
