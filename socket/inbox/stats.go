package inbox

import (
	"time"

	"github.com/tidegate/tidegate/internal/shard"
)

// ShardStats is what one shard does on this node.
type ShardStats struct {
	ID    shard.ID
	Ready bool
	// Backlog is how many records the log holds beyond what was read, as of the newest fetch.
	Backlog int64
	// ConsumedPerSecond and DeliveredPerSecond are records read and messages handed to subscriptions, over the last
	// seconds.
	ConsumedPerSecond, DeliveredPerSecond float64
	// Lag is the backlog over the rate at which it is consumed.
	Lag time.Duration
	// Consumed, Delivered, Repeats and Bad are counts since the node serves the shard: records read, messages handed
	// out, repeats dropped, and values that no node wrote.
	Consumed, Delivered, Repeats, Bad uint64
	// Subscriptions are the clients attached.
	Subscriptions int
	// Items are the messages remembered.
	Items int
}

const (
	// tickEvery is how often rates are measured and old messages forgotten.
	tickEvery = time.Second
	// newest is the weight of the newest second in a rate: the mean reaches back about five seconds.
	newest = 0.2
	// slowest is the rate taken for a shard that has a backlog and does not move.
	slowest = 1.0
)

// rates are a reader's speeds, measured once a second.
type rates struct {
	at                  time.Time
	consumed, delivered uint64
	consuming, handing  float64
}

// tick measures the rates and forgets what is older than the window.
func (r *reader) tick(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stage == stopped {
		return
	}
	r.trim()
	consumed, delivered := r.consumed.Load(), r.handed.Load()
	if seconds := now.Sub(r.rates.at).Seconds(); !r.rates.at.IsZero() && seconds > 0 {
		r.rates.consuming += newest * (float64(consumed-r.rates.consumed)/seconds - r.rates.consuming)
		r.rates.handing += newest * (float64(delivered-r.rates.delivered)/seconds - r.rates.handing)
	}
	r.rates.at, r.rates.consumed, r.rates.delivered = now, consumed, delivered
}

func (r *reader) stats() ShardStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := ShardStats{
		ID: r.id, Ready: r.stage == ready, ConsumedPerSecond: r.rates.consuming, DeliveredPerSecond: r.rates.handing,
		Consumed: r.consumed.Load(), Delivered: r.handed.Load(), Bad: r.bad.Load(),
	}
	for _, subs := range r.subs {
		s.Subscriptions += len(subs)
	}
	if r.index != nil {
		s.Repeats, s.Items = r.index.repeats, r.index.items.len()
		s.Backlog = max(r.high-r.index.next, 0)
		s.Lag = time.Duration(float64(s.Backlog) / max(s.ConsumedPerSecond, slowest) * float64(time.Second))
	}
	return s
}
