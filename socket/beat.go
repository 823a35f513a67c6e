package socket

import (
	"context"
	"log/slog"
	"time"

	"github.com/tidegate/tidegate/internal/beat"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/logkey"
)

// collector assembles heartbeats. It belongs to the reporter's goroutine.
type collector struct {
	node        *node
	incarnation int64
	began       time.Time
	url         string
	adminURL    string
	usageFailed bool
}

// collect reads what the node does now.
func (c *collector) collect() load.Heartbeat {
	n := c.node
	now := n.now()
	rates := n.meter.Rates(now)
	reading := c.read()
	shards, lag := n.shardLoads()
	h := load.Heartbeat{
		Version: load.Version, Fleet: n.o.Fleet, Node: n.id, Incarnation: c.incarnation, State: n.lifecycle.state(),
		URL: c.url, AdminURL: c.adminURL, CPU: reading.CPU, Memory: reading.Memory,
		Connections: n.residents.total(), MaxConnections: n.o.WS.MaxConnections,
		MessagesPerSecond: rates.MessagesPerSecond, HandshakesPerSecond: rates.HandshakesPerSecond,
		RefusedPerSecond: rates.RefusedPerSecond, P95Latency: rates.P95Latency,
		InboxLag: lag, Uptime: now.Sub(c.began), Shards: shards,
	}
	if t, _, ok := n.table.Latest(); ok {
		h.TableVersion, h.Fence = t.Version, t.Fence
	}
	return h
}

// send stores the heartbeat.
func (n *node) send(ctx context.Context, h load.Heartbeat) error {
	_, err := beat.Send(ctx, n.redis, h)
	return err
}

// usageReading is a reading within what a heartbeat may say.
type usageReading struct{ CPU, Memory float64 }

// read measures CPU and memory; what cannot be read keeps its last value and is logged once.
func (c *collector) read() usageReading {
	const most = 100
	reading, err := c.node.usage.Read()
	if err != nil && !c.usageFailed {
		c.node.logger.Warn("CPU or memory cannot be measured; the last values stay", slog.Any(logkey.Err, err))
	}
	c.usageFailed = err != nil
	c.node.reading.Store(&reading)
	return usageReading{CPU: min(reading.CPU, most), Memory: min(reading.Memory, most)}
}

// shardLoads is the load of each shard that is read, and the backlog of all over the rate at which they are consumed.
func (n *node) shardLoads() ([]load.Shard, time.Duration) {
	const longest = time.Hour
	stats, sessions := n.inbox.Stats(), n.residents.shards()
	loads := make([]load.Shard, 0, len(stats))
	var backlog int64
	var consumed float64
	for i := range stats {
		s := &stats[i]
		loads = append(loads, load.Shard{
			ID: s.ID, Connections: sessions[s.ID], MessagesPerSecond: s.DeliveredPerSecond, Ready: s.Ready,
		})
		if s.Ready {
			backlog += s.Backlog
			consumed += s.ConsumedPerSecond
		}
	}
	// A backlog that nobody works off is read as one record a second.
	lag := float64(backlog) / max(consumed, 1) * float64(time.Second)
	return loads, time.Duration(min(lag, float64(longest)))
}
