package placement

import (
	"cmp"
	"slices"

	"github.com/tidegate/tidegate/internal/shard"
)

// place gives each shard without an owner the best node, the heaviest shard first.
func (b *board) place() {
	var orphans []int32
	for s, at := range b.at {
		if at == nowhere {
			orphans = append(orphans, int32(s))
		}
	}
	slices.SortFunc(orphans, func(x, y int32) int {
		return cmp.Or(cmp.Compare(b.load[y], b.load[x]), cmp.Compare(x, y))
	})
	for _, s := range orphans {
		b.put(s, b.bestPlace(s), b.whyPlaced(s))
	}
}

// bestPlace is the node with the highest score among those with room: poor ones first, so that a shard
// that must move anyway spares another move, then all that stay settled. Where no node has room, single
// shards are too large to pack: then the least full one takes it.
func (b *board) bestPlace(s int32) int {
	load := b.load[s]
	needs := func(n *node) bool { return n.poor && n.fill() < filled && n.with(load) <= settle }
	takes := func(n *node) bool { return n.with(load) <= settle }
	rules := []func(n *node) bool{
		func(n *node) bool { return !n.late && needs(n) },
		func(n *node) bool { return !n.late && takes(n) },
		needs, takes,
	}
	for _, rule := range rules {
		if best := b.highest(s, rule); best != nowhere {
			return best
		}
	}
	return b.leastFull(s)
}

// highest is the node of the highest score that follows the rule, or nowhere.
func (b *board) highest(s int32, rule func(n *node) bool) int {
	best, bestScore := nowhere, 0.0
	for i := range b.nodes {
		n := &b.nodes[i]
		if n.solo != nowhere || !rule(n) || b.bars(s, n) {
			continue
		}
		if score := n.score(s); best == nowhere || score > bestScore {
			best, bestScore = i, score
		}
	}
	return best
}

// leastFull is the node that the shard fills the least, of those that have not reached their share; one
// always exists while a shard is not placed, unless it bars the shard. So no node exceeds its share by more
// than this one shard.
func (b *board) leastFull(s int32) int {
	rules := []func(n *node) bool{
		func(n *node) bool { return n.solo == nowhere && !b.bars(s, n) && n.load < n.share },
		// For sums that rounding has left without a node below its share.
		func(n *node) bool { return n.solo == nowhere && !b.bars(s, n) },
		// Company for a heavy shard is better than a node that cannot serve, and that better than none.
		func(n *node) bool { return !b.bars(s, n) },
		func(n *node) bool { return n.solo == nowhere },
	}
	for _, rule := range rules {
		if best := b.leastFilled(s, rule); best != nowhere {
			return best
		}
	}
	return nowhere
}

// leastFilled is the node that the shard fills the least, of those that follow the rule, or nowhere.
func (b *board) leastFilled(s int32, rule func(n *node) bool) int {
	best, bestFill, bestScore := nowhere, 0.0, 0.0
	for i := range b.nodes {
		n := &b.nodes[i]
		if !rule(n) {
			continue
		}
		fill := n.with(b.load[s])
		if best != nowhere && fill > bestFill {
			continue
		}
		if score := n.score(s); best == nowhere || fill < bestFill || score > bestScore {
			best, bestFill, bestScore = i, fill, score
		}
	}
	return best
}

// bars tells whether the node is to be given the shard only when no other can take it.
func (b *board) bars(s int32, n *node) bool {
	return len(b.barred) > 0 && slices.Contains(b.barred[shard.ID(s)], n.id)
}
