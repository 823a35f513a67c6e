package scaledobject

import (
	"errors"
	"fmt"

	"github.com/tidegate/tidegate/balancer/policy"
)

// The keys of the limits in a trigger's metadata and in a ScaledObject's spec.
const (
	keyMin, keyMax   = "minReplicas", "maxReplicas"
	specMin, specMax = "minReplicaCount", "maxReplicaCount"
)

// ErrNotOurs says that a ScaledObject has no trigger of ours.
var ErrNotOurs = errors.New("no trigger of the ScaledObject is Tidegate's")

// Policy is the policy that the object asks for, over base. Its limits are the tighter of our trigger's and the object's
// own, with a warning for each two that differ; where the trigger sets none the object's own hold, and base's where neither
// does. On an error, which joins one problem each with its fix, base is returned as it was.
func (o Object) Policy(base policy.Policy) (p policy.Policy, warnings []string, err error) {
	trigger, ok := o.Trigger()
	if !ok {
		return base, nil, ErrNotOurs
	}
	problems := o.problems(trigger)
	p, err = base.With(trigger.Metadata)
	if err != nil {
		// The limits of metadata that cannot be read say nothing.
		return base, nil, errors.Join(append(problems, fmt.Errorf("trigger metadata: %w", err))...)
	}
	p, warnings, err = o.bounded(p, trigger)
	problems = append(problems, err)
	if err := errors.Join(problems...); err != nil {
		return base, nil, err
	}
	return p, warnings, nil
}

// problems are what no decision can be made with.
func (o Object) problems(trigger Trigger) []error {
	var problems []error
	if len(o.ours) > 1 {
		problems = append(problems, fmt.Errorf("%d triggers are Tidegate's: keep one, since a fleet has one policy", len(o.ours)))
	}
	if trigger.MetricType != "" && trigger.MetricType != averageValue {
		problems = append(problems, fmt.Errorf("metricType is %q, and the HPA would multiply the count by the pods that are ready: write %s or remove it",
			trigger.MetricType, averageValue))
	}
	if o.Target.Kind != defaultTargetKind || o.Target.APIVersion != defaultTargetAPIVersion {
		problems = append(problems, fmt.Errorf("scaleTargetRef is a %s of %s: a fleet is a %s of %s",
			o.Target.Kind, o.Target.APIVersion, defaultTargetKind, defaultTargetAPIVersion))
	}
	id, err := o.fleet()
	if err != nil {
		return append(problems, err)
	}
	if id.Name != o.Target.Name {
		problems = append(problems, fmt.Errorf("the trigger asks for fleet %q, but scaleTargetRef is %q, which would get the count of another Deployment: "+
			"write %q as key %q of the trigger's metadata", id.Name, o.Target.Name, o.Target.Name, keyFleet))
	}
	return problems
}

// averageValue is the only type of metric with which a count arrives as it is.
const averageValue = "AverageValue"

// bounded applies the object's own limits.
func (o Object) bounded(p policy.Policy, trigger Trigger) (policy.Policy, []string, error) {
	var warnings []string
	_, minSet := trigger.Metadata[keyMin]
	_, maxSet := trigger.Metadata[keyMax]
	least := max(o.Min, leastMin)
	switch {
	case minSet:
		if o.MinGiven && p.MinReplicas != least {
			warnings = append(warnings, differ(keyMin, p.MinReplicas, specMin, o.Min, max(p.MinReplicas, least)))
		}
		p.MinReplicas = max(p.MinReplicas, least)
	case o.MinGiven:
		p.MinReplicas = least
	}
	switch {
	case maxSet:
		if o.MaxGiven && p.MaxReplicas != o.Max {
			warnings = append(warnings, differ(keyMax, p.MaxReplicas, specMax, o.Max, min(p.MaxReplicas, o.Max)))
		}
		p.MaxReplicas = min(p.MaxReplicas, o.Max)
	case o.MaxGiven:
		p.MaxReplicas = o.Max
	default:
		p.MaxReplicas = min(p.MaxReplicas, o.Max)
	}
	// A limit that nobody gave gives way to one that somebody did.
	if !minSet && !o.MinGiven {
		p.MinReplicas = min(p.MinReplicas, max(p.MaxReplicas, leastMin))
	}
	if !maxSet && !o.MaxGiven {
		p.MaxReplicas = max(p.MaxReplicas, min(p.MinReplicas, o.Max))
	}
	if err := p.Validate(); err != nil {
		return p, warnings, fmt.Errorf("limits of the trigger (%s, %s) and of the ScaledObject (%s, %s) together: %w", keyMin, keyMax, specMin, specMax, err)
	}
	return p, warnings, nil
}

func differ(key string, value int, field string, own, tighter int) string {
	return fmt.Sprintf("%s is %d in the trigger's metadata and %s is %d: the tighter, %d, holds; write one count in both", key, value, field, own, tighter)
}
