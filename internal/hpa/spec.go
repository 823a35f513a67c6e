// Package hpa is the arithmetic of Kubernetes' HorizontalPodAutoscaler (1.37) for metrics of type AverageValue,
// as pure functions on values: what the demo's actuator runs and what tests hold Tidegate's answers against.
package hpa

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Scale is the scaled object as the HPA sees it.
type Scale struct {
	// Spec is spec.replicas: what was asked for. Limits and behaviour are counted from it.
	Spec int
	// Status is status.replicas: the pods that exist, surge pods included. The tolerance is measured against it.
	Status int
}

// Metric is one external metric: the sum of its values and the target for each pod.
type Metric struct {
	Value  Milli
	Target Milli
	// Err says that the metric could not be read; Value and Target are then not looked at.
	Err error
}

// Milli is a quantity in thousandths, the only precision that reaches the HPA.
type Milli int64

// MilliOf rounds a float as KEDA does on its way into a Kubernetes quantity: printed with three decimals,
// and zero for what is negative or not a number. What no int64 of thousandths holds becomes the largest.
func MilliOf(value float64) Milli {
	if math.IsNaN(value) || math.IsInf(value, 0) || value < 0 {
		return 0
	}
	whole, fraction, _ := strings.Cut(strconv.FormatFloat(value, 'f', 3, 64), ".")
	milli, err := strconv.ParseInt(whole+fraction, 10, 64)
	if err != nil {
		return math.MaxInt64
	}
	return Milli(milli)
}

// Spec is the part of a HorizontalPodAutoscaler that decides a count.
type Spec struct {
	Min, Max int
	Up       Rules
	Down     Rules
}

// Rules are the behaviour of one direction. A behaviour is always given in full: the API server fills
// what is left out with DefaultUp and DefaultDown.
type Rules struct {
	// Tolerance is the fraction by which the metric may miss its target without a change.
	Tolerance float64
	// Stabilization is how long the most cautious recommendation of the past still counts.
	Stabilization time.Duration
	Select        Select
	// Policies limit the change within a period. No policy allows any change; the API server would not store that.
	Policies []Policy
}

// Select says which of several policies counts.
type Select int

// The choices of selectPolicy.
const (
	// SelectMax takes the policy that allows the largest change.
	SelectMax Select = iota
	// SelectMin takes the policy that allows the smallest change.
	SelectMin
	// Disabled forbids any change in this direction.
	Disabled
)

// Unit says what a policy's value counts.
type Unit int

// The types of a policy.
const (
	// Pods counts pods.
	Pods Unit = iota
	// Percent counts hundredths of the replicas at the start of the period.
	Percent
)

// Policy allows at most Value pods or percent of change within Period.
type Policy struct {
	Unit   Unit
	Value  int
	Period time.Duration
}

const (
	defaultTolerance     = 0.1
	defaultPeriod        = 15 * time.Second
	defaultStabilization = 300 * time.Second
)

// DefaultUp is what an HPA without a scale-up behaviour does: 4 pods or 100 % a period, the larger.
func DefaultUp() Rules {
	return Rules{Tolerance: defaultTolerance, Policies: []Policy{
		{Unit: Pods, Value: 4, Period: defaultPeriod},
		{Unit: Percent, Value: 100, Period: defaultPeriod},
	}}
}

// DefaultDown is what an HPA without a scale-down behaviour does: anything, after five minutes.
func DefaultDown() Rules {
	return Rules{Tolerance: defaultTolerance, Stabilization: defaultStabilization, Policies: []Policy{
		{Unit: Percent, Value: 100, Period: defaultPeriod},
	}}
}

// Shipped is the behaviour of Tidegate's ScaledObject: no tolerance, no waiting (the policy waits and budgets
// itself), out by 10 pods or 100 % a period, in by 4 pods a period.
func Shipped(minReplicas, maxReplicas int) Spec {
	return Spec{
		Min: minReplicas, Max: maxReplicas,
		Up: Rules{Policies: []Policy{
			{Unit: Pods, Value: 10, Period: defaultPeriod},
			{Unit: Percent, Value: 100, Period: defaultPeriod},
		}},
		Down: Rules{Policies: []Policy{{Unit: Pods, Value: 4, Period: defaultPeriod}}},
	}
}
