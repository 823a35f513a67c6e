package hpa

import (
	"math"
	"slices"
	"time"
)

// What kept the count from the metrics' answer.
const (
	// LimitNothing says that the count is the metrics' own.
	LimitNothing = ""
	// LimitMin and LimitMax are the bounds of the spec.
	LimitMin = "minReplicas"
	LimitMax = "maxReplicas"
	// LimitTolerance says that the metric is close enough to its target.
	LimitTolerance = "tolerance"
	// LimitStabilization says that a recommendation of the past still counts.
	LimitStabilization = "stabilization"
	// LimitUp and LimitDown are the policies of the behaviour.
	LimitUp   = "scaleUpPolicy"
	LimitDown = "scaleDownPolicy"
	// LimitFailed says that a metric could not be read: with all of them failing nothing changes,
	// with some of them nothing scales in.
	LimitFailed = "metricFailed"
	// LimitOff says that spec.replicas is 0 and the HPA therefore asleep.
	LimitOff = "scaledToZero"
)

// Replicas is one look of the HPA: the count it would write to spec.replicas at this time, what limited that
// count, and the history for the next look (which takes for granted that the count was written).
// It changes none of its arguments.
func Replicas(now time.Time, spec Spec, current Scale, metrics []Metric, past History) (desired int, limitedBy string, next History) {
	past = past.started(now, current.Spec)
	desired, limitedBy, next = decide(now, spec, current, metrics, past)
	return desired, limitedBy, next.scaled(now, spec, current.Spec, desired)
}

func decide(now time.Time, spec Spec, current Scale, metrics []Metric, past History) (int, string, History) {
	switch {
	case current.Spec == 0 && spec.Min != 0:
		return 0, LimitOff, past
	case current.Spec > spec.Max:
		return spec.Max, LimitMax, past
	case current.Spec < spec.Min:
		return spec.Min, LimitMin, past
	}
	wanted, limit, ok := ofMetrics(spec, current, metrics)
	if !ok {
		return current.Spec, LimitFailed, past
	}
	stable := stabilize(now, spec, current.Spec, wanted, past)
	if stable != wanted {
		limit = LimitStabilization
	}
	next := past.recommended(now, spec, wanted)
	count, rate := limitRate(now, spec, current.Spec, stable, past)
	if rate != LimitNothing {
		limit = rate
	}
	return count, limit, next
}

// ofMetrics is the largest count that a readable metric asks for; not ok when that must not be acted on.
func ofMetrics(spec Spec, current Scale, metrics []Metric) (wanted int, limit string, ok bool) {
	failed := 0
	for _, m := range metrics {
		if m.Err != nil || m.Target <= 0 {
			failed++
			continue
		}
		count, tolerated := OfMetric(spec, current.Status, m)
		if wanted == 0 || count > wanted {
			wanted, limit = count, LimitNothing
			if tolerated {
				limit = LimitTolerance
			}
		}
	}
	if failed == len(metrics) || failed > 0 && wanted < current.Spec {
		return 0, LimitFailed, false
	}
	return wanted, limit, true
}

// OfMetric is the count that one metric asks for: value over target rounded up, or the pods that exist while
// the metric is within tolerance of its target.
func OfMetric(spec Spec, status int, m Metric) (count int, tolerated bool) {
	ratio := float64(m.Value) / (float64(m.Target) * float64(status))
	if 1-spec.Down.Tolerance <= ratio && ratio <= 1+spec.Up.Tolerance {
		exact := int(math.Ceil(float64(m.Value) / float64(m.Target)))
		return status, exact != status
	}
	return int(math.Ceil(float64(m.Value) / float64(m.Target))), false
}

// stabilize keeps the count between the lowest recommendation of the scale-up window
// and the highest of the scale-down window.
func stabilize(now time.Time, spec Spec, current, wanted int, past History) int {
	lowest, highest := wanted, wanted
	for _, r := range past.Recommendations {
		if r.At.After(now.Add(-spec.Up.Stabilization)) {
			lowest = min(lowest, r.Replicas)
		}
		if r.At.After(now.Add(-spec.Down.Stabilization)) {
			highest = max(highest, r.Replicas)
		}
	}
	return min(max(current, lowest), highest)
}

// limitRate applies the policies of the direction and the bounds of the spec.
func limitRate(now time.Time, spec Spec, current, wanted int, past History) (int, string) {
	switch {
	case wanted > current:
		if limit := max(current, upLimit(now, spec.Up, current, past)); limit < spec.Max && limit < wanted {
			return limit, LimitUp
		}
		if wanted > spec.Max {
			return spec.Max, LimitMax
		}
	case wanted < current:
		if limit := min(current, downLimit(now, spec.Down, current, past)); limit > spec.Min && limit > wanted {
			return limit, LimitDown
		}
		if wanted < spec.Min {
			return spec.Min, LimitMin
		}
	}
	return wanted, LimitNothing
}

// upLimit is the highest count the policies allow, counted from the replicas at the start of each period.
func upLimit(now time.Time, rules Rules, current int, past History) int {
	if rules.Select == Disabled {
		return current
	}
	limits := make([]int, 0, len(rules.Policies))
	for _, p := range rules.Policies {
		start := past.at(now.Add(-p.Period), current)
		if p.Unit == Pods {
			limits = append(limits, start+p.Value)
			continue
		}
		// Rounded up, so that a small fleet can leave its size.
		limits = append(limits, int(math.Ceil(float64(start)*(1+float64(p.Value)/100))))
	}
	switch {
	case len(limits) == 0:
		return math.MaxInt32
	case rules.Select == SelectMin:
		return slices.Min(limits)
	default:
		return slices.Max(limits)
	}
}

// downLimit is the lowest count the policies allow, counted from the replicas at the start of each period:
// pods that were added within the period are no room to remove.
func downLimit(now time.Time, rules Rules, current int, past History) int {
	if rules.Select == Disabled {
		return current
	}
	limits := make([]int, 0, len(rules.Policies))
	for _, p := range rules.Policies {
		start := past.at(now.Add(-p.Period), current)
		if p.Unit == Pods {
			limits = append(limits, start-p.Value)
			continue
		}
		limits = append(limits, int(float64(start)*(1-float64(p.Value)/100)))
	}
	switch {
	case len(limits) == 0:
		return 0
	case rules.Select == SelectMin:
		return slices.Max(limits)
	default:
		return slices.Min(limits)
	}
}
