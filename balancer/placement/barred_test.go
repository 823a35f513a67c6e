package placement

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

func TestABarredMemberIsGivenAShardOnlyWhereAllAre(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := drawMembers(t, 1, 6)
		names := []fleet.NodeID{"", "stranger"}
		for _, m := range list {
			names = append(names, m.ID)
		}
		const shards = 24
		p := Problem{Owners: make([]fleet.NodeID, shards), Loads: make([]float64, shards), Members: list, Barred: map[shard.ID][]fleet.NodeID{}}
		for s := range shards {
			p.Owners[s] = rapid.SampledFrom(names).Draw(t, "owner")
			p.Loads[s] = rapid.SampledFrom([]float64{0, 10, 200, 9000}).Draw(t, "load")
			p.Barred[shard.ID(s)] = rapid.SliceOfDistinct(rapid.SampledFrom(names[2:]), rapid.ID[fleet.NodeID]).Draw(t, "barred")
		}
		answer := Solve(p)
		for s, to := range answer.Owners {
			barred := p.Barred[shard.ID(s)]
			everyone := !slices.ContainsFunc(list, func(m Member) bool { return !slices.Contains(barred, m.ID) })
			switch {
			case !slices.Contains(names[2:], to):
				t.Fatalf("shard %d has owner %q, which is no member", s, to)
			case to != p.Owners[s] && slices.Contains(barred, to) && !everyone:
				t.Fatalf("shard %d went to %s, which was too slow for it, though another can take it", s, to)
			case to != p.Owners[s] && everyone && slices.Contains(names[2:], p.Owners[s]):
				t.Fatalf("shard %d went from %s to %s: all are barred, so it stays", s, p.Owners[s], to)
			}
		}
	})
}
