package balancer

import (
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidegate/tidegate/balancer/move"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/metric"
	"github.com/tidegate/tidegate/internal/shard"
)

// metrics are the balancer's own; what they count is said in their help.
type metrics struct {
	leader       prometheus.Gauge
	desired      *prometheus.GaugeVec
	asked        *prometheus.GaugeVec
	shadow       *prometheus.GaugeVec
	urgency      *prometheus.GaugeVec
	decisions    *prometheus.CounterVec
	stepSeconds  prometheus.Histogram
	nodes        *prometheus.GaugeVec
	stuck        *prometheus.GaugeVec
	badBeats     *prometheus.CounterVec
	moves        *prometheus.CounterVec
	orphans      *prometheus.GaugeVec
	heavy        *prometheus.GaugeVec
	fenced       prometheus.Counter
	resolves     *prometheus.CounterVec
	tableVersion *prometheus.GaugeVec
	holdSeconds  *prometheus.CounterVec
	unheard      *prometheus.GaugeVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		leader:       prometheus.NewGauge(prometheus.GaugeOpts{Name: metric.BalancerLeader, Help: "1 while this replica leads."}),
		desired:      gauge(metric.BalancerDesired, "Replicas that the newest decision asks for.", metric.LabelFleet),
		asked:        gauge(metric.BalancerAsked, "Replicas that the fleet is asked for, whoever decided it: in shadow mode somebody else. 0 when it is not known.", metric.LabelFleet),
		shadow:       gauge(metric.BalancerShadow, "1 while decisions for the fleet are shown and not acted on.", metric.LabelFleet),
		urgency:      gauge(metric.BalancerUrgency, "Urgency of the newest decision, 0 balanced to 3 critical.", metric.LabelFleet),
		decisions:    counter(metric.BalancerDecisionsTotal, "Decisions with a new count, made by this replica.", metric.LabelFleet, metric.LabelReason),
		nodes:        gauge(metric.BalancerNodes, "Nodes by state; a stale node counts as stale only.", metric.LabelFleet, metric.LabelState),
		stuck:        gauge(metric.BalancerStuckNodes, "Replicas asked for that have been missing for longer than any start takes.", metric.LabelFleet),
		badBeats:     counter(metric.BalancerBadBeatsTotal, "Readings of heartbeats that could not be used.", metric.LabelFleet),
		moves:        counter(metric.BalancerShardMovesTotal, "Changes of the shard table's rows by this replica, by reason.", metric.LabelFleet, metric.LabelReason),
		orphans:      gauge(metric.BalancerOrphanShards, "Shards without an owner.", metric.LabelFleet),
		heavy:        gauge(metric.BalancerHeavyShards, "Shards that fill a node each: more nodes would not help.", metric.LabelFleet),
		fenced:       prometheus.NewCounter(prometheus.CounterOpts{Name: metric.BalancerFencedTotal, Help: "Writes refused because a newer leader has written."}),
		resolves:     counter(metric.BalancerResolvesTotal, "Answers to clients that asked for their node, by HTTP status.", metric.LabelCode),
		tableVersion: gauge(metric.BalancerTableVersion, "Version of the newest shard table.", metric.LabelFleet),
		unheard:      gauge(metric.BalancerKubernetesStale, "1 while what Kubernetes said of the fleet may be over, because the API server is not heard.", metric.LabelFleet),
		holdSeconds:  counter(metric.BalancerHoldSecondsTotal, "Time for which the last decision was held for want of data.", metric.LabelFleet, metric.LabelReason),
		stepSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: metric.BalancerStepSeconds, Help: "Time of one tick of one fleet.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14), NativeHistogramBucketFactor: 1.1,
		}),
	}
	registry.MustRegister(m.leader, m.desired, m.asked, m.shadow, m.urgency, m.decisions, m.stepSeconds, m.nodes, m.stuck, m.badBeats, m.moves,
		m.orphans, m.heavy, m.fenced, m.resolves, m.tableVersion, m.holdSeconds, m.unheard)
	return m
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func (m *metrics) lead(leading bool) {
	value := 0.0
	if leading {
		value = 1
	}
	m.leader.Set(value)
}

// decided counts holding: each tick that holds stands for one interval.
func (m *metrics) decided(d decision.Decision, interval time.Duration) {
	if strings.HasPrefix(d.Reason, "hold-") {
		m.holdSeconds.WithLabelValues(d.Fleet.String(), d.Reason).Add(interval.Seconds())
	}
}

func (m *metrics) recorded(d decision.Decision) {
	m.decisions.WithLabelValues(d.Fleet.String(), d.Reason).Inc()
}

func (m *metrics) moved(id fleet.ID, changes []move.Change) {
	for _, c := range changes {
		m.moves.WithLabelValues(id.String(), c.Reason).Inc()
	}
}

func (m *metrics) resolved(status int) { m.resolves.WithLabelValues(strconv.Itoa(status)).Inc() }

// stateStale is the state label of nodes without fresh heartbeats.
const stateStale = "stale"

// seen shows a fleet as this replica sees it.
func (m *metrics) seen(f load.Fleet, d decision.Decision, table *shard.Table) {
	name := f.ID.String()
	counts := map[string]int{
		stateStale: 0, fleet.Starting.String(): 0, fleet.Serving.String(): 0, fleet.Leaving.String(): 0, fleet.Draining.String(): 0,
	}
	for i := range f.Nodes {
		if f.Nodes[i].Stale {
			counts[stateStale]++
		} else {
			counts[f.Nodes[i].State.String()]++
		}
	}
	for state, count := range counts {
		m.nodes.WithLabelValues(name, state).Set(float64(count))
	}
	unheard := 0.0
	if f.Cluster != nil && f.Cluster.Stale {
		unheard = 1
	}
	m.unheard.WithLabelValues(name).Set(unheard)
	m.stuck.WithLabelValues(name).Set(float64(f.Stuck))
	m.desired.WithLabelValues(name).Set(float64(d.Desired))
	m.asked.WithLabelValues(name).Set(float64(asked(f, d)))
	shadow := 0.0
	if d.Mode == string(policy.Shadow) {
		shadow = 1
	}
	m.shadow.WithLabelValues(name).Set(shadow)
	m.urgency.WithLabelValues(name).Set(float64(d.Urgency))
	if table == nil {
		return
	}
	orphans := 0
	for _, row := range table.Rows {
		if row.Owner == "" {
			orphans++
		}
	}
	m.orphans.WithLabelValues(name).Set(float64(orphans))
	m.tableVersion.WithLabelValues(name).Set(float64(table.Version))
}
