package placement

import (
	"math"
	"slices"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

// Relief is one question to Relieve.
type Relief struct {
	Picture Picture
	// Owners is where each shard is, or will be once the moves under way are done.
	Owners []fleet.NodeID
	// Givers are the nodes that are to cool down, and Takers those that may be given shards.
	Givers, Takers map[fleet.NodeID]struct{}
	// Cool is the load at which a giver stops, and which no taker passes.
	Cool float64
	// Clients is the most that one giver gives now; a single shard may hold more.
	Clients float64
	// Held shards do not move: a move of theirs is under way, or they moved for heat lately. Optional.
	Held []bool
	// Barred members are not given a shard. Optional.
	Barred map[shard.ID][]fleet.NodeID
}

// Handover is one shard's way from a hot node to another.
type Handover struct {
	Shard    shard.ID
	From, To fleet.NodeID
}

// Relieve takes load off hot nodes, the hottest first, with as few clients as it can: shards that cost much for the clients
// they hold go first, to the node that has the most room afterwards. A shard for which no taker has room stays; that may
// leave a node hot, which more nodes would not cure either.
func Relieve(r Relief) []Handover {
	if len(r.Givers) == 0 || len(r.Takers) == 0 {
		return nil
	}
	w := ward{Relief: r, uses: r.Picture.Project(r.Owners), owners: slices.Clone(r.Owners)}
	order := make([]int, 0, len(r.Givers))
	for i := range r.Picture.Nodes {
		if _, gives := r.Givers[r.Picture.Nodes[i].ID]; gives {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return -compare(w.uses[a].most(), w.uses[b].most())
	})
	for _, giver := range order {
		w.relieve(giver)
	}
	return w.done
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// ward is a Relief at work.
type ward struct {
	Relief

	uses   []Use
	owners []fleet.NodeID
	done   []Handover
}

// relieve takes shards off one node until it is cool, has given enough for now, or nobody can take more.
func (w *ward) relieve(giver int) {
	node := &w.Picture.Nodes[giver]
	for given := 0.0; given < w.Clients && w.uses[giver].most() > w.Cool; {
		s, to := w.pick(giver)
		if s == nowhere {
			return
		}
		cost := w.Picture.Model.Cost(w.Picture.Shards[s])
		w.uses[giver] = less(w.uses[giver], cost.times(node.Stand.Scale))
		w.uses[to] = w.uses[to].plus(w.Picture.Nodes[to].Stand.takes(cost))
		w.owners[s] = w.Picture.Nodes[to].ID
		w.done = append(w.done, Handover{Shard: shard.ID(s), From: node.ID, To: w.owners[s]})
		given += w.Picture.Shards[s].Clients
	}
}

func less(u, by Use) Use { return Use{CPU: max(0, u.CPU-by.CPU), Memory: max(0, u.Memory-by.Memory)} }

// offer is how good it is to give a shard away.
type offer struct {
	shard int
	// worth is what a client of the shard costs, in steps, so that small differences leave the choice to the size.
	worth float64
	// over says that the shard holds more than must go, and by is what it takes off the giver.
	over bool
	by   float64
}

// better tells whether the offer beats another: more load for a client, then the largest that does not overshoot, else the
// smallest.
func (o offer) better(than offer) bool {
	switch {
	case o.worth != than.worth:
		return o.worth > than.worth
	case o.over != than.over:
		return !o.over
	case o.by != than.by:
		return (o.by > than.by) != o.over
	default:
		return o.shard < than.shard
	}
}

// worthStep is by what factor the load for a client must differ to matter.
const worthStep = 1.5

// core is the part of a node's load from which on a shard is not given away: the others go. To move it would move the
// hotspot, and what it really costs does not show on a node that has no more to give.
const core = 0.5

// pick is the best shard to take off the giver and who takes it, or nowhere.
func (w *ward) pick(giver int) (s, to int) {
	node, use := &w.Picture.Nodes[giver], w.uses[giver]
	dimension := func(u Use) float64 { return u.CPU }
	if use.Memory > use.CPU {
		dimension = func(u Use) float64 { return u.Memory }
	}
	all := dimension(less(use, node.Stand.Fixed))
	best, taker := offer{shard: nowhere}, nowhere
	for i, owner := range w.owners {
		if owner != node.ID || flag(w.Held, i) || i >= len(w.Picture.Shards) {
			continue
		}
		t := w.Picture.Shards[i]
		by := dimension(w.Picture.Model.Cost(t).times(node.Stand.Scale))
		if !(by > 0) || by > core*all {
			continue
		}
		o := offer{shard: i, worth: math.Round(math.Log(by/max(1, t.Clients)) / math.Log(worthStep)), by: by, over: by > dimension(use)-w.Cool}
		if best.shard != nowhere && !o.better(best) {
			continue
		}
		if at := w.taker(i, giver); at != nowhere {
			best, taker = o, at
		}
	}
	return best.shard, taker
}

// taker is the node that has the most room after it took the shard, of those that stay cool, or nowhere.
func (w *ward) taker(s, giver int) int {
	best, least := nowhere, w.Cool
	cost := w.Picture.Model.Cost(w.Picture.Shards[s])
	for i := range w.Picture.Nodes {
		n := &w.Picture.Nodes[i]
		if _, takes := w.Takers[n.ID]; !takes || i == giver || slices.Contains(w.Barred[shard.ID(s)], n.ID) {
			continue
		}
		if after := w.uses[i].plus(n.Stand.takes(cost)).most(); after < least {
			best, least = i, after
		}
	}
	return best
}
