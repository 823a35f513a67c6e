package placement

import (
	"cmp"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

// Places of a shard that is on no member.
const (
	nowhere = -1
	absent  = -2
)

const (
	// quiet is what a shard counts at least, so that an idle fleet spreads by count.
	quiet = 1
	// maxLoad bounds one shard's load, so that sums stay finite whatever was measured.
	maxLoad = 1e12
	// maxRounds bounds the turns of a plan.
	maxRounds = 64
	// leastWeight is the smallest weight, as a part of the largest, so that no share is zero.
	leastWeight = 1e-3
)

// node is a member at work. Its share is the load it should carry.
type node struct {
	id     fleet.NodeID
	hash   uint64
	weight float64
	share  float64
	load   float64
	// solo is the shard too heavy for any node that this node is kept for, or nowhere.
	solo int32
	// late says that the node is given a shard only where no other has room: it will soon be replaced and others will not,
	// or it is full and others are not. full is the latter.
	late, full bool
	// poor says that the node holds little of its share, and empty that it held nothing when the
	// plan began, as a newcomer does.
	poor, empty bool
	// received says that the plan gave the node a shard.
	received bool
	// shards are those on the node, in no order; listed only once a plan has begun.
	shards []int32
}

// fill is the node's load as a multiple of its share.
func (n *node) fill() float64 { return n.load / n.share }

// with is the fill after the load has come, and without after it has gone.
func (n *node) with(load float64) float64    { return (n.load + load) / n.share }
func (n *node) without(load float64) float64 { return (n.load - load) / n.share }

// board is a problem with its shards placed on nodes.
type board struct {
	nodes  []node
	at     []int32   // the place of each shard in nodes
	load   []float64 // the counted load of each shard
	fixed  []bool
	rested []bool
	barred map[shard.ID][]fleet.NodeID
	causes []Cause
}

func newBoard(p Problem) *board {
	b := &board{
		nodes: sortedNodes(p.Members), at: make([]int32, len(p.Owners)), load: make([]float64, len(p.Owners)),
		fixed: p.Fixed, rested: p.Rested, barred: p.Barred,
	}
	index := make(map[fleet.NodeID]int32, len(b.nodes))
	for i := range b.nodes {
		index[b.nodes[i].id] = int32(i)
	}
	for s, owner := range p.Owners {
		if flag(p.Absent, s) {
			b.at[s] = absent
			continue
		}
		b.load[s] = counted(p.Loads, s)
		place, member := index[owner]
		if !member {
			b.at[s] = nowhere
			continue
		}
		b.at[s] = place
		b.nodes[place].load += b.load[s]
	}
	return b
}

// sortedNodes orders the members by id, drops repeated ones and makes every weight positive and finite.
func sortedNodes(members []Member) []node {
	nodes := make([]node, 0, len(members))
	largest := 0.0
	allOld := !slices.ContainsFunc(members, func(m Member) bool { return !m.Old })
	allFull := !slices.ContainsFunc(members, func(m Member) bool { return !m.Full })
	for _, m := range members {
		weight := m.Weight
		if !(weight > 0) {
			weight = 0
		}
		weight = min(weight, maxLoad)
		largest = max(largest, weight)
		full := m.Full && !allFull
		nodes = append(nodes, node{
			id: m.ID, hash: xxhash.Sum64String(string(m.ID)), weight: weight, solo: nowhere, late: full || m.Old && !allOld, full: full,
		})
	}
	// Of two entries for one node the lighter counts: it is the safer of two claims about its room.
	slices.SortFunc(nodes, func(a, b node) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.weight, b.weight))
	})
	nodes = slices.CompactFunc(nodes, func(a, b node) bool { return a.id == b.id })
	if largest == 0 {
		largest = 1
	}
	for i := range nodes {
		nodes[i].weight = max(nodes[i].weight, largest*leastWeight)
	}
	return nodes
}

// counted is what shard s counts: its measured load, but at least one client, and always finite.
func counted(loads []float64, s int) float64 {
	if s >= len(loads) || !(loads[s] > quiet) {
		return quiet
	}
	return min(loads[s], maxLoad)
}

func flag(flags []bool, s int) bool { return s < len(flags) && flags[s] }

// score is the weighted rendezvous score of a shard on a node: the highest is where it belongs.
func (n *node) score(s int32) float64 {
	var key [12]byte
	for i := range 8 {
		key[i] = byte(n.hash >> (8 * i))
	}
	for i := range 4 {
		key[8+i] = byte(uint32(s) >> (8 * i))
	}
	// The upper 53 bits as a number strictly between 0 and 1.
	u := (float64(xxhash.Sum64(key[:])>>11) + 0.5) / (1 << 53)
	return -n.weight / math.Log(u)
}

// plan places every shard that must move or is worth moving.
func (b *board) plan() {
	b.list()
	b.clear()
	b.place()
	// Relieving a node of a large shard can leave it poor, so the last two take turns. They agree in the end,
	// since each of their moves makes the fuller of two nodes less full; mostly after two turns.
	for range maxRounds {
		b.weigh()
		if filled, shed := b.fill(), b.shed(); !filled && !shed {
			return
		}
	}
}

// list notes which shards each node holds, and which nodes are poor.
func (b *board) list() {
	b.causes = make([]Cause, len(b.at))
	for s, place := range b.at {
		if place >= 0 {
			b.nodes[place].shards = append(b.nodes[place].shards, int32(s))
		}
	}
	for i := range b.nodes {
		b.nodes[i].empty = len(b.nodes[i].shards) == 0
	}
	b.weigh()
}

// weigh marks the nodes that hold little of their share.
func (b *board) weigh() {
	for i := range b.nodes {
		n := &b.nodes[i]
		n.poor = n.solo == nowhere && n.fill() < lowly
	}
}

// lift takes a shard off its node, and put gives it one.
func (b *board) lift(s int32) {
	if b.at[s] < 0 {
		return
	}
	from := &b.nodes[b.at[s]]
	from.load -= b.load[s]
	from.shards = slices.DeleteFunc(from.shards, func(other int32) bool { return other == s })
	b.at[s] = nowhere
}

func (b *board) put(s int32, to int, why Cause) {
	b.lift(s)
	b.at[s] = int32(to)
	b.nodes[to].load += b.load[s]
	b.nodes[to].shards = append(b.nodes[to].shards, s)
	b.nodes[to].received = true
	b.causes[s] = why
}

// solution writes the board's owners over a copy of the problem's.
func (b *board) solution(p Problem) Solution {
	answer := Solution{Owners: slices.Clone(p.Owners)}
	for s, place := range b.at {
		if place < 0 || p.Owners[s] == b.nodes[place].id {
			b.causes[s] = Kept
			continue
		}
		answer.Owners[s] = b.nodes[place].id
		answer.Causes = b.causes
	}
	if answer.Causes == nil {
		answer.Owners = p.Owners
	}
	return answer
}
