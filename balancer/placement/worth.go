package placement

import "math"

// worthwhile tells whether anything is bad enough to begin a plan. Each rule asks for more than the plan
// itself would, so that what a plan leaves behind does not begin another when loads jitter.
func (b *board) worthwhile() bool {
	return b.orphaned() || b.crowded() || b.lacking() || b.overloaded()
}

// orphaned: a shard has no owner.
func (b *board) orphaned() bool {
	for _, at := range b.at {
		if at == nowhere {
			return true
		}
	}
	return false
}

// crowded: a shard too heavy for any node is not at home, or not alone there.
func (b *board) crowded() bool {
	for i := range b.nodes {
		solo := b.nodes[i].solo
		if solo == nowhere {
			continue
		}
		if b.at[solo] != int32(i) && b.mayCool(solo) && !b.bars(solo, &b.nodes[i]) {
			return true
		}
		for s, at := range b.at {
			if at == int32(i) && int32(s) != solo && b.mayLeave(int32(s)) {
				return true
			}
		}
	}
	return false
}

// lacking: a node holds less than half of its share, and another can give without becoming as poor.
func (b *board) lacking() bool {
	for i := range b.nodes {
		if n := &b.nodes[i]; n.solo == nowhere && !n.full && n.fill() < needy && b.canFill(n) {
			return true
		}
	}
	return false
}

func (b *board) canFill(taker *node) bool {
	for s, at := range b.at {
		if at < 0 || !b.mayMove(int32(s)) || taker.load > 0 && !b.mayCool(int32(s)) || b.bars(int32(s), taker) {
			continue
		}
		giver := &b.nodes[at]
		after := taker.with(b.load[s])
		if giver.solo == nowhere && giver.without(b.load[s]) >= taker.fill()+beginFill && after <= beginGain*giver.fill() {
			return true
		}
	}
	return false
}

// overloaded: a node carries more than Limit, more than chance explains, and a move would help.
func (b *board) overloaded() bool {
	for i := range b.nodes {
		n := &b.nodes[i]
		// So many clients as the share says differ from it by its square root, whoever places them.
		if n.solo != nowhere || n.load <= n.share*Limit || n.load <= n.share+math.Sqrt(n.share) {
			continue
		}
		if b.canCool(i) {
			return true
		}
	}
	return false
}

// canCool looks at the smallest shard only: what it does not help, no larger one does.
func (b *board) canCool(giver int) bool {
	smallest := math.Inf(1)
	for s, at := range b.at {
		if at == int32(giver) && b.mayCool(int32(s)) {
			smallest = min(smallest, b.load[s])
		}
	}
	if math.IsInf(smallest, 1) {
		return false
	}
	bar := beginGain * b.nodes[giver].fill()
	for i := range b.nodes {
		n := &b.nodes[i]
		if i == giver || n.solo != nowhere || n.full {
			continue
		}
		after := n.with(smallest)
		if after <= settle || after <= bar && n.fill() < beginBelow {
			return true
		}
	}
	return false
}
