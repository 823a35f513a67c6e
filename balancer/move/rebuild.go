package move

import (
	"cmp"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/shard"
)

// Rebuild makes the table of a leader that finds none from what the nodes say they serve. Its version and
// fence are above and at the highest that any node has seen, so that nodes take it over theirs once the
// leader has written its own fence. Shards that nobody serves have no owner; the next Step gives them one.
//
// A shard that several nodes read goes to the one with the newest table, then the one with the most of its
// clients, then one that is ready. Beats of other fleets, of nodes that are gone, and of shards that this
// fleet does not have are left out; of two beats of one node the newer counts.
func Rebuild(id fleet.ID, shards int, beats []load.Heartbeat) *shard.Table {
	t := New(id, shards)
	claims := make([]claim, shards)
	for _, beat := range newest(id, beats) {
		t.Version = max(t.Version, beat.TableVersion)
		t.Fence = max(t.Fence, beat.Fence)
		t.Nodes[beat.Node] = shard.Node{URL: beat.URL, State: beat.State}
		for _, s := range beat.Shards {
			if s.ID < 0 || int(s.ID) >= shards {
				continue
			}
			if c := (claim{beat: beat, shard: s}); claims[s.ID].beat == nil || c.over(claims[s.ID]) {
				claims[s.ID] = c
			}
		}
	}
	t.Version++
	for i, c := range claims {
		t.Rows[i].Version = t.Version
		if c.beat != nil {
			t.Rows[i].Owner = c.beat.Node
		}
	}
	return t
}

// claim is one node's word that it serves a shard.
type claim struct {
	beat  *load.Heartbeat
	shard load.Shard
}

// over tells whether the claim is the better one. It orders all claims, so that the answer does not depend
// on the order of the beats.
func (c claim) over(other claim) bool {
	return cmp.Or(
		cmp.Compare(c.beat.Fence, other.beat.Fence),
		cmp.Compare(c.beat.TableVersion, other.beat.TableVersion),
		cmp.Compare(c.shard.Connections, other.shard.Connections),
		cmp.Compare(rank(c.shard.Ready), rank(other.shard.Ready)),
		cmp.Compare(other.beat.Node, c.beat.Node),
	) > 0
}

func rank(ready bool) int {
	if ready {
		return 1
	}
	return 0
}

// newest is the last beat of each node of the fleet that is not gone.
func newest(id fleet.ID, beats []load.Heartbeat) map[fleet.NodeID]*load.Heartbeat {
	last := make(map[fleet.NodeID]*load.Heartbeat, len(beats))
	for i := range beats {
		beat := &beats[i]
		if beat.Fleet != id {
			continue
		}
		if has, ok := last[beat.Node]; !ok || older(has, beat) {
			last[beat.Node] = beat
		}
	}
	for node, beat := range last {
		if beat.State == fleet.Gone {
			delete(last, node)
		}
	}
	return last
}

func older(a, b *load.Heartbeat) bool {
	return cmp.Or(cmp.Compare(a.Incarnation, b.Incarnation), cmp.Compare(a.Sequence, b.Sequence)) < 0
}
