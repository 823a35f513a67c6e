package scaledobject

import (
	"fmt"
	"strings"
)

// Warnings are the settings that work against a fleet of long-lived connections though KEDA allows them, each with its
// fix; nil when the object is not ours or there is nothing to say.
func (o Object) Warnings() []string {
	trigger, ok := o.Trigger()
	if !ok {
		return nil
	}
	var said []string
	warn := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	if trigger.Type == TypePoll {
		warn("the trigger's type is %s, so that a decision waits for the HPA's next look, up to 15 s: write %s", TypePoll, TypePush)
	}
	if trigger.UseCachedMetrics {
		warn("useCachedMetrics is on, so that the HPA acts on old decisions: remove it")
	}
	if o.Idle != nil {
		warn("idleReplicaCount is %d, and scaling to it would cut every session at once: remove it", *o.Idle)
	}
	if o.Min < leastMin {
		warn("%s is %d: write 1 or more, since a fleet without a pod serves nobody", specMin, o.Min)
	}
	if o.Modified {
		warn("advanced.scalingModifiers has a formula, so that the count is not the one that was decided: remove it")
	}
	if len(o.Triggers) > len(o.ours) {
		warn("the ScaledObject has %d triggers, and the HPA takes the largest count, so that the fleet leaves none of what another asks for: keep only Tidegate's",
			len(o.Triggers))
	}
	said = append(said, o.ofFallback()...)
	said = append(said, ofDirection("scaleUp", o.Up)...)
	return append(said, ofDirection("scaleDown", o.Down)...)
}

// ofFallback warns of fallbacks that may take pods away when nothing is known. Without any the HPA holds, which is safe.
func (o Object) ofFallback() []string {
	if o.Fallback == nil {
		return nil
	}
	switch o.Fallback.Behavior {
	case FallbackCurrentReplicas, FallbackCurrentReplicasIfHigher:
		return nil
	case FallbackStatic:
		return []string{fmt.Sprintf("fallback.behavior is %s, which scales a larger fleet in to %d while nothing is known of it: write %s",
			FallbackStatic, o.Fallback.Replicas, FallbackCurrentReplicasIfHigher)}
	default:
		return []string{fmt.Sprintf("fallback.behavior is %s, which may scale in while nothing is known of the fleet: write %s",
			o.Fallback.Behavior, FallbackCurrentReplicasIfHigher)}
	}
}

// ofDirection warns of what the API server fills in.
func ofDirection(name string, d Direction) []string {
	path := "advanced.horizontalPodAutoscalerConfig.behavior." + name
	if !d.Given {
		return []string{path + " is missing, and the API server's defaults would slow decisions down or drop steps under a tenth of the fleet: give it in full, with tolerance \"0\""}
	}
	var said []string
	if len(d.Missing) > 0 {
		said = append(said, fmt.Sprintf("%s leaves out %s, which the API server fills in: give it in full, with tolerance \"0\"", path, strings.Join(d.Missing, ", ")))
	}
	if d.Tolerance != nil && *d.Tolerance > 0 {
		said = append(said, fmt.Sprintf("%s.tolerance is %v, so that steps under that part of the fleet are dropped: write \"0\"", path, *d.Tolerance))
	}
	return said
}
