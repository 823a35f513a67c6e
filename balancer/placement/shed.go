package placement

import (
	"cmp"
	"slices"
)

// shed takes shards off nodes that carry too much, the fullest first, while that helps, and tells whether
// it moved anything.
func (b *board) shed() (moved bool) {
	stuck := make([]bool, len(b.nodes))
	// Each move lowers the fuller of two nodes, so this ends; the bound guards against rounding.
	for range 4 * len(b.at) {
		for i := range b.nodes {
			stuck[i] = stuck[i] || !b.nodes[i].hot()
		}
		giver := b.fullest(stuck)
		if giver == nowhere {
			return moved
		}
		if b.cool(giver) {
			moved = true
		} else {
			stuck[giver] = true
		}
	}
	return moved
}

// hot nodes are above the limit, or near it by what this plan gave them: a plan may not leave a node where
// jitter would begin another.
func (n *node) hot() bool { return n.fill() > Limit || n.received && n.fill() > near }

// cool moves shards off one node until it has settled, or no single move helps any more.
func (b *board) cool(giver int) (moved bool) {
	for b.nodes[giver].fill() > settle {
		s, to := b.relief(giver)
		if s == nowhere {
			return moved
		}
		b.put(s, to, Heat)
		moved = true
	}
	return moved
}

// relief picks the move that takes the least load off a node: the largest shard that does not overshoot,
// else, while the node is hot, the smallest.
func (b *board) relief(giver int) (s int32, to int) {
	from := &b.nodes[giver]
	excess := from.load - settle*from.share
	slices.SortFunc(from.shards, func(x, y int32) int {
		return cmp.Or(cmp.Compare(b.load[x], b.load[y]), cmp.Compare(x, y))
	})
	over, _ := slices.BinarySearchFunc(from.shards, excess, func(s int32, excess float64) int {
		if b.load[s] <= excess {
			return -1
		}
		return 1
	})
	for i := over - 1; i >= 0; i-- {
		if to := b.relieved(from.shards[i], giver); to != nowhere {
			return from.shards[i], to
		}
	}
	if !from.hot() {
		return nowhere, nowhere
	}
	for _, s := range from.shards[over:] {
		if to := b.relieved(s, giver); to != nowhere {
			return s, to
		}
	}
	return nowhere, nowhere
}

// relieved is the node that takes the shard: by score among those that stay settled, else, of those below
// their share, the one that is the least full afterwards, if it is then less full than the giver is now.
func (b *board) relieved(s int32, giver int) int {
	if !b.mayCool(s) {
		return nowhere
	}
	load, from := b.load[s], &b.nodes[giver]
	if to := b.highest(s, func(n *node) bool { return n != from && !n.late && n.with(load) <= settle }); to != nowhere {
		return to
	}
	best, bestFill := nowhere, takeGain*from.fill()
	for i := range b.nodes {
		n := &b.nodes[i]
		if i == giver || n.late || n.solo != nowhere || b.bars(s, n) {
			continue
		}
		if n.load < n.share && n.with(load) <= bestFill {
			best, bestFill = i, n.with(load)
		}
	}
	return best
}
