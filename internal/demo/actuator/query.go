package actuator

import (
	"context"
	"fmt"
	"time"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"

	"github.com/tidegate/tidegate/internal/hpa"
)

// callTimeout bounds one call. KEDA sets none, and waits for a scaler that hangs; a demo must go on.
const callTimeout = 3 * time.Second

// query asks the scaler as KEDA does for one look of the HPA: the metric spec, and for each metric its values and
// whether the fleet is active. Values and activity are asked twice when they fail; any call that fails fails its metric.
func query(ctx context.Context, scaler pb.ExternalScalerClient, object *pb.ScaledObjectRef) []hpa.Metric {
	spec, err := bounded(ctx, func(ctx context.Context) (*pb.GetMetricSpecResponse, error) {
		return scaler.GetMetricSpec(ctx, object)
	})
	if err != nil {
		return []hpa.Metric{{Err: fmt.Errorf("get metric spec: %w", err)}}
	}
	metrics := make([]hpa.Metric, 0, len(spec.GetMetricSpecs()))
	for _, s := range spec.GetMetricSpecs() {
		value, err := valueOf(ctx, scaler, object, s.GetMetricName())
		metrics = append(metrics, hpa.Metric{Value: value, Target: hpa.MilliOf(targetOf(s)), Err: err})
	}
	return metrics
}

func valueOf(ctx context.Context, scaler pb.ExternalScalerClient, object *pb.ScaledObjectRef, name string) (hpa.Milli, error) {
	answer, err := twice(ctx, func(ctx context.Context) (*pb.GetMetricsResponse, error) {
		return scaler.GetMetrics(ctx, &pb.GetMetricsRequest{ScaledObjectRef: object, MetricName: name})
	})
	if err != nil {
		return 0, fmt.Errorf("get metrics %q: %w", name, err)
	}
	if _, err := twice(ctx, func(ctx context.Context) (*pb.IsActiveResponse, error) {
		return scaler.IsActive(ctx, object)
	}); err != nil {
		return 0, fmt.Errorf("is active: %w", err)
	}
	// The HPA adds up what it gets, and KEDA takes the float when there is one.
	var sum hpa.Milli
	for _, v := range answer.GetMetricValues() {
		value := v.GetMetricValueFloat()
		if value <= 0 {
			value = float64(v.GetMetricValue())
		}
		sum += hpa.MilliOf(value)
	}
	return sum, nil
}

func targetOf(s *pb.MetricSpec) float64 {
	if s.GetTargetSizeFloat() > 0 {
		return s.GetTargetSizeFloat()
	}
	return float64(s.GetTargetSize())
}

func twice[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	answer, err := bounded(ctx, call)
	if err != nil && ctx.Err() == nil {
		return bounded(ctx, call)
	}
	return answer, err
}

func bounded[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return call(ctx)
}
