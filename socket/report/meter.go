package report

import (
	"sync"
	"sync/atomic"
	"time"
)

// window is the time over which rates and the quantile are taken: several heartbeats, so that one quiet second
// does not read as a quiet node.
const window = 5 * time.Second

// Meter counts what happens on a node. The Count methods are lock-free; all are safe for concurrent use.
type Meter struct {
	accepted   atomic.Uint64
	delivered  atomic.Uint64
	handshakes atomic.Uint64
	refused    atomic.Uint64
	latency    Histogram

	mu      sync.Mutex // guards samples
	samples []sample
}

type sample struct {
	at time.Time
	Totals
	latency *Counts
}

// Totals are counts since the process started.
type Totals struct {
	Accepted   uint64
	Delivered  uint64
	Handshakes uint64
	Refused    uint64
}

// Rates are what the meter saw over the last seconds.
type Rates struct {
	// MessagesPerSecond counts messages delivered to clients and accepted from them.
	MessagesPerSecond   float64
	HandshakesPerSecond float64
	RefusedPerSecond    float64
	P95Latency          time.Duration
}

// CountAccepted counts a message that was written to the log for a client.
func (m *Meter) CountAccepted() { m.accepted.Add(1) }

// CountDelivered counts a message that was written to a client, with the time from its fetch to its write.
func (m *Meter) CountDelivered(latency time.Duration) {
	m.delivered.Add(1)
	m.latency.Observe(latency)
}

// CountHandshake counts a client that was let in.
func (m *Meter) CountHandshake() { m.handshakes.Add(1) }

// CountRefused counts a client that was turned away for want of room.
func (m *Meter) CountRefused() { m.refused.Add(1) }

// Totals reads the counters.
func (m *Meter) Totals() Totals {
	return Totals{
		Accepted: m.accepted.Load(), Delivered: m.delivered.Load(),
		Handshakes: m.handshakes.Load(), Refused: m.refused.Load(),
	}
}

// Latency reads the delivery latencies since the process started.
func (m *Meter) Latency() *Counts { return m.latency.Counts() }

// Rates takes a sample at the given time, on a monotonic clock, and compares it with the one a window ago.
func (m *Meter) Rates(now time.Time) Rates {
	newest := sample{at: now, Totals: m.Totals(), latency: m.latency.Counts()}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.samples = append(m.samples, newest)
	for len(m.samples) > 2 && now.Sub(m.samples[1].at) >= window {
		m.samples = m.samples[1:]
	}
	oldest := m.samples[0]
	seconds := now.Sub(oldest.at).Seconds()
	if seconds <= 0 {
		return Rates{}
	}
	rate := func(now, before uint64) float64 { return float64(now-before) / seconds }
	return Rates{
		MessagesPerSecond:   rate(newest.Accepted, oldest.Accepted) + rate(newest.Delivered, oldest.Delivered),
		HandshakesPerSecond: rate(newest.Handshakes, oldest.Handshakes),
		RefusedPerSecond:    rate(newest.Refused, oldest.Refused),
		P95Latency:          newest.latency.Since(oldest.latency).Quantile(0.95),
	}
}
