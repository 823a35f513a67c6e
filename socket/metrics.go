package socket

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/metric"
	"github.com/tidegate/tidegate/socket/report"
)

// metrics are the node's Prometheus metrics, in a registry of their own. Most are read from the meters that the
// heartbeat reads, when somebody asks.
type metrics struct {
	registry *prometheus.Registry
	codes    *prometheus.CounterVec
	drain    prometheus.Gauge
	forced   prometheus.Counter
}

// latencyBuckets are the upper edges of the delivery histogram.
var latencyBuckets = []time.Duration{
	time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second,
}

func newMetrics(id string, fleetName string) *metrics {
	registry := prometheus.NewRegistry()
	labels := prometheus.Labels{metric.LabelFleet: fleetName, metric.LabelNode: id}
	m := &metrics{
		registry: registry,
		codes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metric.SocketClosedTotal, Help: "Connections that ended, by close code.", ConstLabels: labels,
		}, []string{metric.LabelCode}),
		drain: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: metric.SocketDrainSeconds, Help: "How long the node's drain took; 0 before it ended.", ConstLabels: labels,
		}),
		forced: prometheus.NewCounter(prometheus.CounterOpts{
			Name: metric.SocketDrainForcedTotal, Help: "Sessions closed in a drain because the time was short.", ConstLabels: labels,
		}),
	}
	registry.MustRegister(m.codes, m.drain, m.forced, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) closed(code uint16) { m.codes.WithLabelValues(strconv.Itoa(int(code))).Inc() }

func (m *metrics) drained(took time.Duration, forced int) {
	m.drain.Set(took.Seconds())
	m.forced.Add(float64(forced))
}

// watch registers what is read from the node when somebody asks.
func (m *metrics) watch(n *node) {
	m.registry.MustRegister(&nodeCollector{node: n, descs: describe(n)})
}

// nodeCollector reads the node's own meters.
type nodeCollector struct {
	node  *node
	descs map[string]*prometheus.Desc
}

func describe(n *node) map[string]*prometheus.Desc {
	labels := prometheus.Labels{metric.LabelFleet: n.o.Fleet.String(), metric.LabelNode: string(n.id)}
	descs := map[string]*prometheus.Desc{}
	for name, help := range map[string]string{
		metric.SocketConnections:       "Sessions on this node.",
		metric.SocketAcceptedTotal:     "Messages accepted from clients.",
		metric.SocketDeliveredTotal:    "Messages delivered to clients.",
		metric.SocketDuplicatesTotal:   "Repeats of messages that were dropped, of the shards read now.",
		metric.SocketDeliverySeconds:   "Time from fetching a message to handing it to the connection.",
		metric.SocketInboxLagSeconds:   "Backlog of the node's shards over the rate at which it consumes.",
		metric.SocketCPUFraction:       "CPU in use, as a fraction of the limit.",
		metric.SocketMemoryFraction:    "Memory in use, as a fraction of the limit.",
		metric.SocketHeartbeatFailures: "Heartbeats that could not be sent.",
	} {
		descs[name] = prometheus.NewDesc(name, help, nil, labels)
	}
	descs[metric.SocketHandshakesTotal] = prometheus.NewDesc(metric.SocketHandshakesTotal,
		"Clients let in and turned away for want of room.", []string{metric.LabelResult}, labels)
	descs[metric.SocketShards] = prometheus.NewDesc(metric.SocketShards,
		"Shards that this node reads.", []string{metric.LabelState}, labels)
	return descs
}

// Describe sends what Collect will send.
func (c *nodeCollector) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		out <- desc
	}
}

// Collect reads the meters.
func (c *nodeCollector) Collect(out chan<- prometheus.Metric) {
	send := func(name string, kind prometheus.ValueType, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(c.descs[name], kind, value, labels...)
	}
	n := c.node
	totals := n.meter.Totals()
	send(metric.SocketConnections, prometheus.GaugeValue, float64(n.residents.total()))
	send(metric.SocketAcceptedTotal, prometheus.CounterValue, float64(totals.Accepted))
	send(metric.SocketDeliveredTotal, prometheus.CounterValue, float64(totals.Delivered))
	send(metric.SocketHandshakesTotal, prometheus.CounterValue, float64(totals.Handshakes), "accepted")
	send(metric.SocketHandshakesTotal, prometheus.CounterValue, float64(totals.Refused), "refused")
	send(metric.SocketHeartbeatFailures, prometheus.CounterValue, float64(n.reporter.Failures()))
	if reading := n.reading.Load(); reading != nil {
		send(metric.SocketCPUFraction, prometheus.GaugeValue, reading.CPU)
		send(metric.SocketMemoryFraction, prometheus.GaugeValue, reading.Memory)
	}
	c.collectShards(send)
	out <- c.latency(n.meter.Latency())
}

func (c *nodeCollector) collectShards(send func(string, prometheus.ValueType, float64, ...string)) {
	loads, lag := c.node.shardLoads()
	ready := count(loads, func(s load.Shard) bool { return s.Ready })
	send(metric.SocketShards, prometheus.GaugeValue, float64(ready), "ready")
	send(metric.SocketShards, prometheus.GaugeValue, float64(len(loads)-ready), "warming")
	send(metric.SocketInboxLagSeconds, prometheus.GaugeValue, lag.Seconds())
	var repeats uint64
	for _, s := range c.node.inbox.Stats() {
		repeats += s.Repeats
	}
	send(metric.SocketDuplicatesTotal, prometheus.CounterValue, float64(repeats))
}

func count[T any](items []T, is func(T) bool) int {
	n := 0
	for _, item := range items {
		if is(item) {
			n++
		}
	}
	return n
}

func (c *nodeCollector) latency(counts *report.Counts) prometheus.Metric {
	buckets := make(map[float64]uint64, len(latencyBuckets))
	for _, edge := range latencyBuckets {
		buckets[edge.Seconds()] = counts.Below(edge)
	}
	return prometheus.MustNewConstHistogram(c.descs[metric.SocketDeliverySeconds], counts.Total, counts.Sum.Seconds(), buckets)
}
