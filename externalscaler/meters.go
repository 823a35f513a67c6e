package externalscaler

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/metric"
)

// meters are the server's Prometheus metrics. Fleets become labels only once a decision for them exists,
// so that no caller can invent series.
type meters struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	streams *prometheus.GaugeVec
	age     *prometheus.GaugeVec
	served  *prometheus.GaugeVec
}

func newMeters(registry *prometheus.Registry) *meters {
	factory := promauto.With(registry)
	return &meters{
		calls: factory.NewCounterVec(prometheus.CounterOpts{
			Name: metric.ScalerCallsTotal, Help: "Calls answered, by gRPC method and code.",
		}, []string{metric.LabelMethod, metric.LabelCode}),
		seconds: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: metric.ScalerCallSeconds, Help: "Seconds a call took inside the scaler; streams are left out.",
			Buckets:                     []float64{0.0001, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5},
			NativeHistogramBucketFactor: 1.1,
		}, []string{metric.LabelMethod}),
		streams: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: metric.ScalerStreams, Help: "Streams open now, by gRPC method.",
		}, []string{metric.LabelMethod}),
		age: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: metric.ScalerDecisionAge, Help: "Seconds since the served decision was last confirmed, by the Redis server's clock, at the last answer.",
		}, []string{metric.LabelFleet}),
		served: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: metric.ScalerServedReplicas, Help: "Replica count of the last answer.",
		}, []string{metric.LabelFleet}),
	}
}

// answered notes the count that a fleet was answered and the age of its decision.
func (m *meters) answered(id fleet.ID, count int, age time.Duration) {
	name := id.String()
	m.served.WithLabelValues(name).Set(float64(count))
	m.age.WithLabelValues(name).Set(max(age, 0).Seconds())
}
