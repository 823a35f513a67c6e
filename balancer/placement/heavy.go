package placement

import "github.com/tidegate/tidegate/internal/shard"

// smallHome is how much lighter than the roomiest node the home of a heavy shard may be before the shard
// moves: moving the heaviest shard of a fleet costs the most. A shard of half its load is comparable to it.
const (
	smallHome      = 0.5
	comparableLoad = 0.5
)

// isolate keeps a node for each shard above limit times the share of every node, and shares the rest of the
// load among the other nodes by weight. At least one node is always left, since each heavy shard takes
// more than a node's share out of the load.
func (b *board) isolate(limit float64) (heavy []int32) {
	rest, weights := 0.0, 0.0
	for _, load := range b.load {
		rest += load
	}
	for i := range b.nodes {
		b.nodes[i].solo = nowhere
		weights += b.nodes[i].weight
	}
	for left := len(b.nodes); left > 1; left-- {
		s := b.heaviest()
		if s == nowhere || b.load[s] <= limit*rest*b.roomiest().weight/weights {
			break
		}
		home := b.home(s)
		home.solo, home.share = s, b.load[s]
		rest -= b.load[s]
		weights -= home.weight
		heavy = append(heavy, s)
	}
	for i := range b.nodes {
		if n := &b.nodes[i]; n.solo == nowhere {
			n.share = rest * n.weight / weights
		}
	}
	return heavy
}

// heaviest is the heaviest shard that has no node to itself yet.
func (b *board) heaviest() int32 {
	best := int32(nowhere)
	for s, load := range b.load {
		if b.at[s] != absent && (best == nowhere || load > b.load[best]) && !b.isSolo(int32(s)) {
			best = int32(s)
		}
	}
	return best
}

func (b *board) isSolo(s int32) bool {
	for i := range b.nodes {
		if b.nodes[i].solo == s {
			return true
		}
	}
	return false
}

// roomiest is the heaviest node that is not kept for a shard.
func (b *board) roomiest() *node {
	var best *node
	for i := range b.nodes {
		if n := &b.nodes[i]; n.solo == nowhere && (best == nil || n.weight > best.weight) {
			best = n
		}
	}
	return best
}

// home is the node a heavy shard is to have for itself: its present one unless that is much too small,
// else the roomiest, by score among equals.
func (b *board) home(s int32) *node {
	if at := b.at[s]; at >= 0 && b.nodes[at].solo == nowhere && !b.cramped(s) {
		return &b.nodes[at]
	}
	var best *node
	for i := range b.nodes {
		n := &b.nodes[i]
		if n.solo != nowhere || b.bars(s, n) {
			continue
		}
		if best == nil || n.weight > best.weight || n.weight == best.weight && n.score(s) > best.score(s) {
			best = n
		}
	}
	if best == nil {
		best = b.roomiest() // Every node is barred: one is kept all the same, for when that is over.
	}
	return best
}

// cramped tells whether a heavy shard should leave its node for a much roomier one. A node that holds a
// comparable shard is none: the two would change places with each jitter of their loads.
func (b *board) cramped(s int32) bool {
	if !b.mayCool(s) {
		return false
	}
	taken := make([]bool, len(b.nodes))
	for other, at := range b.at {
		if at >= 0 && int32(other) != s && b.load[other] >= comparableLoad*b.load[s] {
			taken[at] = true
		}
	}
	own := b.nodes[b.at[s]].weight
	for i := range b.nodes {
		if n := &b.nodes[i]; n.solo == nowhere && !taken[i] && own < smallHome*n.weight && !b.bars(s, n) {
			return true
		}
	}
	return false
}

// clear empties the nodes kept for a heavy shard and brings that shard home.
func (b *board) clear() {
	for i := range b.nodes {
		n := &b.nodes[i]
		if n.solo == nowhere {
			continue
		}
		for s, at := range b.at {
			if at == int32(i) && int32(s) != n.solo && b.mayLeave(int32(s)) {
				b.lift(int32(s))
				b.causes[s] = Heat
			}
		}
		if s := n.solo; b.at[s] != int32(i) && !b.bars(s, n) && (b.at[s] == nowhere || b.mayCool(s)) {
			b.put(s, i, b.whyPlaced(s))
		}
	}
}

// mayMove tells whether a shard can be moved at all, and mayCool whether for heat.
func (b *board) mayMove(s int32) bool { return !flag(b.fixed, int(s)) }
func (b *board) mayCool(s int32) bool { return b.mayMove(s) && !flag(b.rested, int(s)) }

// mayLeave tells whether a shard may make room on its node: it can cool, and not all other nodes bar it.
func (b *board) mayLeave(s int32) bool {
	if !b.mayCool(s) || len(b.barred[shard.ID(s)]) == 0 {
		return b.mayCool(s)
	}
	for i := range b.nodes {
		if int32(i) != b.at[s] && !b.bars(s, &b.nodes[i]) {
			return true
		}
	}
	return false
}

// whyPlaced is the cause of giving an owner to a shard that was lifted, or had none.
func (b *board) whyPlaced(s int32) Cause {
	if b.at[s] >= 0 || b.causes[s] == Heat {
		return Heat
	}
	return Orphan
}
