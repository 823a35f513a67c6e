package scaledobject

import "strconv"

// The annotations by which a user pauses KEDA.
const (
	annotationPaused         = "autoscaling.keda.sh/paused"
	annotationPausedReplicas = "autoscaling.keda.sh/paused-replicas"
	annotationPausedIn       = "autoscaling.keda.sh/paused-scale-in"
	annotationPausedOut      = "autoscaling.keda.sh/paused-scale-out"
)

// Pause says what of KEDA's scaling a user has stopped.
type Pause struct {
	// All says that KEDA has taken the HPA away: nothing scales.
	All bool
	// Replicas is the count that KEDA holds the fleet at meanwhile; nil when it is held where it is.
	Replicas *int
	// In and Out say that the HPA is there but may not scale that way.
	In, Out bool
}

// pause reads the annotations as KEDA does: what is no boolean counts as true.
func pause(annotations map[string]string) Pause {
	p := Pause{
		All: flag(annotations, annotationPaused),
		In:  flag(annotations, annotationPausedIn),
		Out: flag(annotations, annotationPausedOut),
	}
	text, held := annotations[annotationPausedReplicas]
	if !held {
		return p
	}
	p.All = true
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		count := int(n)
		p.Replicas = &count
	}
	return p
}

func flag(annotations map[string]string, name string) bool {
	text, found := annotations[name]
	if !found {
		return false
	}
	on, err := strconv.ParseBool(text)
	return err != nil || on
}
