// Package placement decides which node should own which shard: flat weighted rendezvous hashing under a
// share bound, changed only where the gain is worth the move. It decides on values and keeps no state.
//
// Loads are counted in clients or their equivalent (see Loads). The unit matters in two places only: a
// shard counts as at least one client, so that a quiet fleet spreads by count, and a node may differ from
// its share by the square root of it before shards move, since so much is chance.
package placement

import (
	"slices"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

// The bounds, as multiples of a node's weighted share.
const (
	// Limit is the most a node carries, unless single shards are too large to pack better.
	Limit = 1.05
	// settle is where a node that must change ends up, so that small changes of load do not cross Limit.
	settle = 1.02
	// near is where a node that a plan gave a shard is too close to Limit to be left.
	near = 1.025
	// filled is what a poor node is filled to; enough is what it gets where single shards are large.
	filled = 0.97
	enough = 0.955
	// needy nodes hold less than this of their share, as newcomers do: that begins a plan to fill them.
	needy = 0.5
	// lowly nodes are poor once a plan has begun: one that is left just above needy would begin the next.
	lowly = 0.55
)

// What a move must bring when it cannot bring its receiver under settle. A plan is begun for large gains
// and, once begun, takes small ones too: so what a plan leaves behind is not near the edge of the next.
const (
	// beginGain and takeGain bound the receiver's fill after the move, as a multiple of the giver's before.
	beginGain = 0.92
	takeGain  = 0.99
	// beginFill and takeFill are how far above a poor node a giver must stay, in shares.
	beginFill = 0.25
	takeFill  = 0.02
	// beginBelow is the fill below which a node can take a shard that unsettles it; a plan asks for less than 1.
	beginBelow = 0.95
)

// Member is a node that may own shards.
type Member struct {
	ID fleet.NodeID
	// Weight is what the node may carry relative to the other members; anything not above 0 is next to nothing.
	Weight float64
	// Old says that the node will soon be replaced by one like the others: while there are others, no shard moves there for
	// heat, and one that must move goes there only where no other has room.
	Old bool
	// Full says that the node has no room left: while others have some, it is given a shard only where no other can take it.
	Full bool
}

// Problem is one question to Solve.
type Problem struct {
	// Owners holds the present owner of each shard. Empty, or a node that is no member, means that the
	// shard needs an owner.
	Owners []fleet.NodeID
	// Loads is the measured load of each shard in clients or their equivalent; missing ones count as none.
	Loads []float64
	// Members are the nodes to place on, in any order.
	Members []Member
	// Fixed shards count for their owner and never move: a move of theirs is under way. Optional.
	Fixed []bool
	// Rested shards do not move for heat, because they did lately. Optional.
	Rested []bool
	// Absent shards are left out: they belong to a node of which nothing is known. Optional.
	Absent []bool
	// Barred members are given a shard only when every member is barred from it; what they hold stays. Optional.
	Barred map[shard.ID][]fleet.NodeID
}

// Cause says why a shard was given to its owner.
type Cause uint8

// The causes.
const (
	// Kept shards stay where they are.
	Kept Cause = iota
	// Orphan shards had no owner among the members.
	Orphan
	// Fill shards go to a newcomer: a member that held no shard.
	Fill
	// Heat shards leave a node that carries more than its share, or more than a poor one does.
	Heat
)

// Solution is the answer of Solve.
type Solution struct {
	// Owners holds an owner for each shard. It is the problem's own slice when nothing changes.
	Owners []fleet.NodeID
	// Causes tells for each shard why; nil when nothing changes.
	Causes []Cause
}

// Changed reports whether any shard has a new owner.
func (s Solution) Changed() bool { return s.Causes != nil }

// Assign gives each shard an owner among the members; see Problem. It returns a new slice, with empty
// owners when there are no members.
func Assign(owners []fleet.NodeID, loads []float64, members []Member) []fleet.NodeID {
	if len(members) == 0 {
		return make([]fleet.NodeID, len(owners))
	}
	return slices.Clone(Solve(Problem{Owners: owners, Loads: loads, Members: members}).Owners)
}

// Solve answers a problem. The answer depends on the members as a set, not on their order. Without
// members nothing changes.
func Solve(p Problem) Solution {
	if len(p.Members) == 0 || len(p.Owners) == 0 {
		return Solution{Owners: p.Owners}
	}
	b := newBoard(p)
	for _, limit := range heavyLimits() {
		b.isolate(limit)
		if !b.worthwhile() {
			return Solution{Owners: p.Owners}
		}
	}
	b.plan()
	return b.solution(p)
}

// heavyLimits are the limits by which a plan must be worth beginning, the one that counts last: a shard
// near the limit would otherwise turn the shares of a small fleet over with each jitter of its load.
func heavyLimits() [3]float64 { return [3]float64{Limit - 0.05, Limit + 0.05, Limit} }
