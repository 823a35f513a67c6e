package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/metric"
)

// Names of the webhook's metrics.
const (
	metricAdmissions      = "tidegate_webhook_admissions_total"
	metricAdmissionTime   = "tidegate_webhook_admission_seconds"
	metricStamps          = "tidegate_webhook_stamps_total"
	metricHold            = "tidegate_webhook_hold_seconds"
	metricTroubles        = "tidegate_webhook_troubles_total"
	metricBalancerErrors  = "tidegate_webhook_balancer_errors_total"
	metricSecondActuators = "tidegate_webhook_second_actuators_total"
	metricDoubtful        = "tidegate_webhook_doubtful_scale_ins_total"
	metricUninjected      = "tidegate_webhook_uninjected_pods"
	metricExpiry          = "tidegate_webhook_certificate_expiry_timestamp_seconds"
)

// Labels of the webhook's metrics.
const (
	labelHandler   = "handler"
	labelAction    = "action"
	labelSecret    = "secret"
	labelNamespace = "namespace"
)

// fleetUnread stands for the name of what could not be read, and so need not exist.
const fleetUnread = "unread"

// The values of the action label.
const (
	actionSet   = "set"
	actionClear = "clear"
)

// meters are the webhook's Prometheus metrics. The name of a fleet becomes a label only once it was read from the API server.
type meters struct {
	admissions      *prometheus.CounterVec
	seconds         *prometheus.HistogramVec
	stamps          *prometheus.CounterVec
	hold            prometheus.Histogram
	troubles        *prometheus.CounterVec
	balancerErrors  prometheus.Counter
	secondActuators *prometheus.CounterVec
	doubtful        prometheus.Counter
	uninjected      *prometheus.GaugeVec
	expiry          *prometheus.GaugeVec
}

func newMeters(registry *prometheus.Registry) *meters {
	factory := promauto.With(registry)
	return &meters{
		admissions: factory.NewCounterVec(prometheus.CounterOpts{
			Name: metricAdmissions, Help: "Admission reviews answered, by handler and result: allowed, warned, denied, unreadable, refuted (not what the cluster says), busy, panic.",
		}, []string{labelHandler, metric.LabelResult}),
		seconds: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: metricAdmissionTime, Help: "Seconds an admission review took, holds included.",
			Buckets:                     []float64{0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4},
			NativeHistogramBucketFactor: 1.1,
		}, []string{labelHandler}),
		stamps: factory.NewCounterVec(prometheus.CounterOpts{
			Name: metricStamps, Help: "Deletion costs written to pods, by fleet and action: set for a scale-in, clear after one that never happened.",
		}, []string{metric.LabelFleet, labelAction}),
		hold: factory.NewHistogram(prometheus.HistogramOpts{
			Name: metricHold, Help: "Seconds a scale-in was held so that its stamps could settle.",
			Buckets:                     []float64{0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 2},
			NativeHistogramBucketFactor: 1.1,
		}),
		troubles: factory.NewCounterVec(prometheus.CounterOpts{
			Name: metricTroubles, Help: "Scale-ins let through although the right pods could not be made sure of, by fleet (unread: it could not be read) and reason.",
		}, []string{metric.LabelFleet, metric.LabelReason}),
		balancerErrors: factory.NewCounter(prometheus.CounterOpts{
			Name: metricBalancerErrors, Help: "Questions that the balancer did not answer; that it knows no such fleet is an answer.",
		}),
		secondActuators: factory.NewCounterVec(prometheus.CounterOpts{
			Name: metricSecondActuators, Help: "Scale-ins of a fleet asked for by somebody who should not, by fleet.",
		}, []string{metric.LabelFleet}),
		doubtful: factory.NewCounter(prometheus.CounterOpts{
			Name: metricDoubtful, Help: "Scale-ins not stamped because the pods do not ask to be injected and the balancer could not say whether they are a fleet.",
		}),
		uninjected: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: metricUninjected, Help: "Pods that ask to be injected and were not, as those that started before the webhook did, by namespace.",
		}, []string{labelNamespace}),
		expiry: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: metricExpiry, Help: "When the certificate in a Secret expires, in seconds since 1970.",
		}, []string{labelSecret}),
	}
}

// stamped notes stamps that were written.
func (m *meters) stamped(id fleet.ID, set, cleared int, held time.Duration) {
	m.stamps.WithLabelValues(id.String(), actionSet).Add(float64(set))
	m.stamps.WithLabelValues(id.String(), actionClear).Add(float64(cleared))
	if held > 0 {
		m.hold.Observe(held.Seconds())
	}
}

// expires notes when a certificate will expire.
func (m *meters) expires(secret string, at time.Time) {
	m.expiry.WithLabelValues(secret).Set(float64(at.Unix()))
}

// lacks notes how many pods of a namespace have no drain hook and should.
func (m *meters) lacks(namespace string, pods int) {
	m.uninjected.WithLabelValues(namespace).Set(float64(pods))
}
