package placement

import (
	"fmt"
	"math"
	"math/rand/v2"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

// members makes nodes node-0, node-1 … with these weights.
func members(weights ...float64) []Member {
	list := make([]Member, len(weights))
	for i, w := range weights {
		list[i] = Member{ID: fleet.NodeID(fmt.Sprintf("node-%d", i)), Weight: w}
	}
	return list
}

func equalMembers(count int) []Member {
	weights := make([]float64, count)
	for i := range weights {
		weights[i] = 1
	}
	return members(weights...)
}

func equalLoads(count int, load float64) []float64 {
	loads := make([]float64, count)
	for i := range loads {
		loads[i] = load
	}
	return loads
}

// tally adds up the counted load of each member's shards; a shard counts as at least one client.
func tally(owners []fleet.NodeID, loads []float64) (held map[fleet.NodeID]float64, total float64) {
	held = map[fleet.NodeID]float64{}
	for s, owner := range owners {
		held[owner] += max(loads[s], 1)
		total += max(loads[s], 1)
	}
	return held, total
}

func shares(list []Member, total float64) map[fleet.NodeID]float64 {
	weights := 0.0
	for _, m := range list {
		weights += m.Weight
	}
	share := map[fleet.NodeID]float64{}
	for _, m := range list {
		share[m.ID] = total * m.Weight / weights
	}
	return share
}

// moved is the load of the shards whose owner differs, and the heaviest moved shard of each node that
// gave or took one: what granularity may cost there.
func moved(before, after []fleet.NodeID, loads []float64) (load, granularity float64, count int) {
	heaviest := map[fleet.NodeID]float64{}
	for s := range before {
		if before[s] == after[s] {
			continue
		}
		count++
		load += max(loads[s], 1)
		for _, node := range []fleet.NodeID{before[s], after[s]} {
			heaviest[node] = max(heaviest[node], max(loads[s], 1))
		}
	}
	for _, shard := range heaviest {
		granularity += shard
	}
	return load, granularity, count
}

func drawMembers(t *rapid.T, least, most int) []Member {
	return members(rapid.SliceOfN(rapid.Float64Range(0.3, 3), least, most).Draw(t, "weights")...)
}

// dice is a stream of numbers from 0 to 1, drawn at once: rapid would draw, log and shrink each of hundreds.
func dice(t *rapid.T, label string) func() float64 {
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, label), 0))
	return random.Float64
}

// drawLoads draws loads of one of the shapes that fleets have.
func drawLoads(t *rapid.T, count int) []float64 {
	shape := rapid.SampledFrom([]string{"idle", "equal", "even", "skewed", "sparse"}).Draw(t, "shape")
	return shapedLoads(shape, dice(t, "loads"), count)
}

func shapedLoads(shape string, roll func() float64, count int) []float64 {
	loads := make([]float64, count)
	each := 1 + 999*roll()
	for s := range loads {
		switch shape {
		case "equal":
			loads[s] = each
		case "even":
			loads[s] = 80 + 40*roll()
		case "skewed":
			loads[s] = math.Exp(8 * roll())
		case "sparse":
			if roll() < 0.1 {
				loads[s] = 1 + 999*roll()
			}
		}
	}
	return loads
}

// drawFine draws members and loads where every shard is at most 2 % of the smallest share.
func drawFine(t *rapid.T, least, most int) ([]Member, []float64) {
	list := drawMembers(t, least, most)
	weights, smallest := 0.0, math.Inf(1)
	for _, m := range list {
		weights += m.Weight
		smallest = min(smallest, m.Weight)
	}
	// The heaviest shard is 1.5 times the mean at most, and the fleet may lose or gain a node or two.
	count := int(math.Ceil(1.6/0.02*weights/smallest)) + 100
	roll := dice(t, "loads")
	loads := make([]float64, count)
	for s := range loads {
		loads[s] = 100 + 50*roll()
	}
	return list, loads
}

// drawOwners draws an owner for each shard: a member, nobody or a stranger.
func drawOwners(t *rapid.T, list []Member, count int) []fleet.NodeID {
	choices := []fleet.NodeID{"", "stranger"}
	for _, m := range list {
		choices = append(choices, m.ID)
	}
	roll := dice(t, "owners")
	owners := make([]fleet.NodeID, count)
	for s := range owners {
		owners[s] = choices[int(roll()*float64(len(choices)))]
	}
	return owners
}

// aloneShards names the shards that carry more than Limit times the share of every node, heaviest first: each keeps a node to itself.
func aloneShards(loads []float64, members []Member) []shard.ID {
	if len(members) == 0 || len(loads) == 0 {
		return nil
	}
	b := newBoard(Problem{Owners: make([]fleet.NodeID, len(loads)), Loads: loads, Members: members})
	var heavy []shard.ID
	for _, s := range b.isolate(Limit) {
		// A shard of a fleet without clients is not heavy, however few shards there are.
		if loads[s] > quiet {
			heavy = append(heavy, shard.ID(s))
		}
	}
	return heavy
}
