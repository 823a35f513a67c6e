package externalscaler

import (
	"strconv"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"

	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/keys"
)

// The HPA computes ceil(value / target) in thousandths. A new decision toggles the target by one thousandth, because
// a change of the HPA's spec makes it look at once. The count survives that as long as it is smaller than
// target / 0.001: 1 against 1.001 carries counts up to 1,000, and 100 against 100.001 counts up to 100,000.
const (
	toggle = 0.001
	// fineFrom is the maxReplicas from which a fleet's counts are served in hundredths of the target.
	fineFrom = 1000
	// fineSuffix marks the name of the metric that is served in hundredths.
	fineSuffix = "-x100"
	// plainMost and fineMost are the largest counts that arrive at either target.
	plainMost = 1000
	fineMost  = 100_000
)

// scale is how a count is put into a metric. It depends on the ScaledObject alone, never on the decision: the HPA
// holds the target and asks for the value later, and a scale that changed in between would multiply or divide the
// fleet by 100. For the same reason each scale has a metric name of its own, and a value is always in the scale of
// the name that was asked for: an HPA that KEDA has not rewritten yet still gets the count it can divide.
//
// Without maxReplicas in the metadata the largest count is unknown, since the balancer's policy file may allow any.
// Such a fleet is plain, and its name stays when it grows: a KEDA that polls rewrites an HPA only when it reconciles
// the ScaledObject, and until then a name that GetMetricSpec no longer gives would leave the HPA without an answer. Instead a
// count above most is served at the target that divides it exactly, without the toggle: the HPA sees it at its next
// look instead of at once.
type scale struct {
	name   string
	target float64
	most   int // the largest count that the toggle leaves exact
}

var (
	plain = scale{name: keys.ScalerMetric, target: 1, most: plainMost}
	fine  = scale{name: keys.ScalerMetric + fineSuffix, target: 100, most: fineMost}
)

// scaleFor picks the scale of a fleet that may grow to that many replicas.
func scaleFor(maxReplicas int) scale {
	if maxReplicas >= fineFrom {
		return fine
	}
	return plain
}

// scaleOf picks the scale of trigger metadata that may be wrong: GetMetricSpec never fails.
func scaleOf(metadata map[string]string) scale {
	maxReplicas, err := strconv.Atoi(metadata[keyMaxReplicas])
	if err != nil {
		return plain
	}
	return scaleFor(maxReplicas)
}

// scaleNamed is the scale of the metric that KEDA asks for; an empty name means the fleet's own.
func scaleNamed(name string, own scale) (scale, bool) {
	switch name {
	case "", own.name:
		return own, true
	case plain.name:
		return plain, true
	case fine.name:
		return fine, true
	default:
		return scale{}, false
	}
}

// spec is the metric and its target after this decision; before any, or for a count that the toggle would change, it
// is the plain target.
func (s scale) spec(d decision.Decision, decided bool) *pb.GetMetricSpecResponse {
	target := s.target
	if decided && d.Sequence%2 == 1 && max(d.Desired, d.Answer) <= s.most {
		target += toggle
	}
	return &pb.GetMetricSpecResponse{MetricSpecs: []*pb.MetricSpec{{
		MetricName:      s.name,
		TargetSize:      int64(s.target),
		TargetSizeFloat: target,
	}}}
}

// value is the one value that stands for a count; the HPA would sum several.
func (s scale) value(count int) *pb.GetMetricsResponse {
	value := float64(count) * s.target
	return &pb.GetMetricsResponse{MetricValues: []*pb.MetricValue{{
		MetricName:       s.name,
		MetricValue:      int64(value),
		MetricValueFloat: value,
	}}}
}
