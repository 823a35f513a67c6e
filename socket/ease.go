package socket

import (
	"math"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/drain"
)

// easeEvery is the time between two steps of a move that has leisure.
const easeEvery = time.Second

// ease leaves in a survey only those who may be sent away now, and tells how many of them a second at most; infinity is no
// leisure. A node that the leader wants to go has none, nor has one that does not know how busy it is.
func (m *mover) ease(t *shard.Table, found *survey, now time.Time, since time.Duration) float64 {
	leisure := drain.Leisurely(m.node.o.MoveLongest)
	late := m.late(found, now, leisure.Longest)
	reading, state := m.node.reading.Load(), t.Nodes[m.node.id].State
	if reading == nil || state != fleet.Serving && state != fleet.Starting {
		return math.Inf(1)
	}
	use := max(reading.CPU, reading.Memory)
	if since == 0 {
		m.use = use
	}
	m.use = drain.Follow(m.use, use, since)
	most := leisure.Rate(m.use, float64(len(found.ready)), float64(late))
	if m.use < leisure.Calm && !math.IsInf(most, 1) {
		found.ready = found.ready[:late]
	}
	return most
}

// late puts those first who have stayed for the longest time since their shard got another owner, and counts them.
func (m *mover) late(found *survey, now time.Time, longest time.Duration) int {
	away := make(map[shard.ID]time.Time, len(m.away))
	for _, r := range found.ready {
		if _, known := away[r.shard]; known {
			continue
		}
		since, known := m.away[r.shard]
		if !known {
			since = now
		}
		away[r.shard] = since
	}
	m.away = away
	first := 0
	for i, r := range found.ready {
		if now.Sub(away[r.shard]) >= longest {
			found.ready[first], found.ready[i] = r, found.ready[first]
			first++
		}
	}
	return first
}
