package move

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/shard"
)

func beat(node fleet.NodeID, version uint64, shards ...load.Shard) load.Heartbeat {
	return load.Heartbeat{
		Version: load.Version, Fleet: testFleet(), Node: node, State: fleet.Serving, URL: "ws://" + string(node),
		TableVersion: version, Fence: 50, Shards: shards,
	}
}

func TestRebuildPrefersTheNewestTableThenClientsThenReadiness(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		beats []load.Heartbeat
		want  fleet.NodeID
	}{
		"newest table wins over clients": {
			[]load.Heartbeat{beat("a", 8, load.Shard{ID: 0, Connections: 99}), beat("b", 9, load.Shard{ID: 0})}, "b",
		},
		"higher fence wins over version": {
			[]load.Heartbeat{beat("a", 99, load.Shard{ID: 0}), func() load.Heartbeat {
				b := beat("b", 9, load.Shard{ID: 0})
				b.Fence = 51
				return b
			}()}, "b",
		},
		"clients win over readiness": {
			[]load.Heartbeat{beat("a", 9, load.Shard{ID: 0, Ready: true}), beat("b", 9, load.Shard{ID: 0, Connections: 1})}, "b",
		},
		"readiness wins among idle ones": {
			[]load.Heartbeat{beat("a", 9, load.Shard{ID: 0}), beat("b", 9, load.Shard{ID: 0, Ready: true})}, "b",
		},
		"the name decides the rest": {
			[]load.Heartbeat{beat("b", 9, load.Shard{ID: 0}), beat("a", 9, load.Shard{ID: 0})}, "a",
		},
		"a gone node has no claim": {
			[]load.Heartbeat{beat("a", 9, load.Shard{ID: 0}), func() load.Heartbeat {
				b := beat("b", 99, load.Shard{ID: 0, Connections: 5})
				b.State = fleet.Gone
				return b
			}()}, "a",
		},
		"another fleet's node has no claim": {
			[]load.Heartbeat{beat("a", 9, load.Shard{ID: 0}), func() load.Heartbeat {
				b := beat("b", 99, load.Shard{ID: 0, Connections: 5})
				b.Fleet.Name = "other"
				return b
			}()}, "a",
		},
		"of two lives of a node the newer speaks": {
			[]load.Heartbeat{beat("a", 9, load.Shard{ID: 0}), func() load.Heartbeat {
				b := beat("a", 1)
				b.Incarnation = 1
				return b
			}()}, "",
		},
		"shards that the fleet does not have are left out": {
			[]load.Heartbeat{beat("a", 9, load.Shard{ID: 64}, load.Shard{ID: -1})}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Rebuild(testFleet(), 64, test.beats).Rows[0].Owner; got != test.want {
				t.Errorf("shard 0 went to %q: want %q", got, test.want)
			}
		})
	}
}

func TestARebuiltTableIsAboveAnyThatANodeHolds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var beats []load.Heartbeat
		for i := range rapid.IntRange(0, 6).Draw(t, "nodes") {
			b := beat(nodeName(i), rapid.Uint64Range(0, 100).Draw(t, "version"))
			for _, id := range rapid.SliceOfDistinct(rapid.IntRange(0, 15), rapid.ID[int]).Draw(t, "shards") {
				b.Shards = append(b.Shards, load.Shard{ID: shard.ID(id), Connections: rapid.IntRange(0, 3).Draw(t, "connections")})
			}
			beats = append(beats, b)
		}
		table := Rebuild(testFleet(), 16, beats)
		for _, b := range beats {
			if table.Version <= b.TableVersion || table.Fence < b.Fence {
				t.Fatalf("version %d, fence %d: node %s holds %d, %d and would keep its own", table.Version, table.Fence, b.Node, b.TableVersion, b.Fence)
			}
		}
		for id, row := range table.Rows {
			claimed := row.Owner == ""
			for _, b := range beats {
				has := slices.ContainsFunc(b.Shards, func(s load.Shard) bool { return int(s.ID) == id })
				if row.Owner == "" && has {
					t.Fatalf("%s serves shard %d, but the table has no owner for it", b.Node, id)
				}
				claimed = claimed || b.Node == row.Owner && has
			}
			if !claimed {
				t.Fatalf("shard %d went to %s, which does not serve it", id, row.Owner)
			}
		}
		if diff := cmp.Diff(table, Rebuild(testFleet(), 16, rapid.Permutation(beats).Draw(t, "order"))); diff != "" {
			t.Fatalf("the order of the heartbeats decides:\n%s", diff)
		}
		if _, err := table.Encode(); err != nil {
			t.Fatalf("a rebuilt table cannot be stored: %v", err)
		}
	})
}
