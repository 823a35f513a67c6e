package placement

import (
	"slices"
	"time"

	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/shard"
)

const (
	// filling is the part of a hot node's load from which on one shard is what makes it hot.
	filling = 0.8
	// A heavy shard is one until for so long its node was so far below the load that counts as hot, or it was so much less of it.
	heavyEnds   = time.Minute
	heavyBelow  = 0.04
	heavyShrink = 0.05
)

// burden is a shard that makes its node hot by itself, and when that was last seen.
type burden struct {
	shard shard.ID
	seen  time.Time
}

// burdens are the shards that make their node hot by themselves. One that is stays one for a while: users are told when it
// begins and when it ends, and a node near the limit is above it and below it in turn.
func (p *Picture) burdens(nodes []load.Node, limit float64, last []burden) []burden {
	var next []burden
	keep := func(b burden) {
		if i := slices.IndexFunc(next, func(has burden) bool { return has.shard == b.shard }); i < 0 {
			next = append(next, b)
		} else if next[i].seen.Before(b.seen) {
			next[i].seen = b.seen
		}
	}
	for _, b := range last {
		if since := p.At.Sub(b.seen); since < heavyEnds && int(b.shard) < len(p.Shards) {
			keep(b)
		}
	}
	for i := range nodes {
		n := p.Of(nodes[i].Node)
		if n.Stale {
			continue
		}
		id, part := p.Model.largest(nodes[i].Shards)
		from, least := limit, filling
		if slices.ContainsFunc(last, func(b burden) bool { return b.shard == id }) {
			from, least = limit-heavyBelow, filling-heavyShrink
		}
		if part > least && n.Stand.use(p.Model, n.Level.Traffic).most() >= from {
			keep(burden{shard: id, seen: p.At})
		}
	}
	slices.SortFunc(next, func(a, b burden) int { return int(a.shard) - int(b.shard) })
	return next
}

// largest is the shard that costs a node the most, and its part of what all of them cost.
func (m Model) largest(shards []load.Shard) (largest shard.ID, part float64) {
	largest, most, all := shard.ID(nowhere), 0.0, 0.0
	for _, s := range shards {
		cost := m.Cost(Traffic{Clients: float64(s.Connections), Messages: s.MessagesPerSecond}).most()
		if all += cost; cost > most {
			largest, most = s.ID, cost
		}
	}
	if !(all > 0) {
		return largest, 0
	}
	return largest, most / all
}

// shardsOf names the shards of burdens; nil for none.
func shardsOf(burdens []burden) []shard.ID {
	if len(burdens) == 0 {
		return nil
	}
	ids := make([]shard.ID, len(burdens))
	for i, b := range burdens {
		ids[i] = b.shard
	}
	return ids
}
