package placement

// fill brings poor nodes to their share, from the fullest nodes, and tells whether it moved anything.
func (b *board) fill() (moved bool) {
	done := make([]bool, len(b.nodes))
	// Each move raises the poorer of two nodes, so this ends; the bound guards against rounding.
	for range 4 * len(b.at) {
		taker := b.poorest(done)
		if taker == nowhere {
			return moved
		}
		if s := b.gift(taker); s != nowhere {
			b.put(s, taker, b.whyFilled(taker))
			moved = true
		} else {
			done[taker] = true
		}
	}
	return moved
}

// poorest is the least full poor node that still lacks shards, or nowhere.
func (b *board) poorest(done []bool) int {
	best := nowhere
	for i := range b.nodes {
		n := &b.nodes[i]
		// An old node that is new here is needed; one that cools the others is not, nor is one without room.
		if !n.poor || done[i] || n.fill() >= filled || n.full || n.late && !n.empty {
			continue
		}
		if best == nowhere || n.fill() < b.nodes[best].fill() {
			best = i
		}
	}
	return best
}

// gift is the shard to give to the taker, from the fullest node that has a fitting one, or nowhere.
func (b *board) gift(taker int) int32 {
	tried := make([]bool, len(b.nodes))
	for {
		giver := b.fullest(tried)
		if giver == nowhere || b.nodes[giver].fill() <= b.nodes[taker].fill() {
			return nowhere
		}
		if s := b.giftOf(giver, taker); s != nowhere {
			return s
		}
		tried[giver] = true
	}
}

func (b *board) fullest(tried []bool) int {
	best := nowhere
	for i := range b.nodes {
		n := &b.nodes[i]
		if tried[i] || n.solo != nowhere {
			continue
		}
		if best == nowhere || n.fill() > b.nodes[best].fill() {
			best = i
		}
	}
	return best
}

// giftOf is the giver's shard that rendezvous hashing most wants on the taker, of those that fit best.
func (b *board) giftOf(giver, taker int) int32 {
	from, to := &b.nodes[giver], &b.nodes[taker]
	best, bestFits, bestWant := int32(nowhere), false, 0.0
	for _, s := range from.shards {
		load := b.load[s]
		// The giver must stay above where the taker is, or the two would only change places.
		if !b.mayGive(s, to) || from.without(load) < to.fill()+takeFill {
			continue
		}
		// And the taker must stay below where the giver is, or the next turn would take the shard again.
		after := to.with(load)
		if after > takeGain*from.fill() {
			continue
		}
		fits := after <= settle
		if !fits && (bestFits || to.fill() >= enough) {
			continue
		}
		want := to.score(s) / from.score(s)
		better := want > bestWant || want == bestWant && s < best
		if best == nowhere || fits && !bestFits || better {
			best, bestFits, bestWant = s, fits, want
		}
	}
	return best
}

// whyFilled is the cause of filling a node: a newcomer needs its share, any other node only cools the rest.
func (b *board) whyFilled(taker int) Cause {
	if b.nodes[taker].empty {
		return Fill
	}
	return Heat
}

// mayGive tells whether a shard may go to the taker: a newcomer gets also shards that rest.
func (b *board) mayGive(s int32, taker *node) bool {
	return b.mayMove(s) && !b.bars(s, taker) && (taker.empty || b.mayCool(s))
}
