package move

import (
	"fmt"
	"testing"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

func testFleet() fleet.ID { return fleet.ID{Namespace: "shop", Name: "chat"} }

func never(shard.ID) bool  { return false }
func always(shard.ID) bool { return true }

// serving makes serving nodes of weight 1 that are ready for nothing yet.
func serving(names ...fleet.NodeID) []Member {
	list := make([]Member, len(names))
	for i, name := range names {
		list[i] = Member{ID: name, URL: "ws://" + string(name), State: fleet.Serving, Weight: 1, Ready: never}
	}
	return list
}

func with(m Member, change func(*Member)) Member {
	change(&m)
	return m
}

// owned makes a table whose shards belong to these nodes in turn.
func owned(t *testing.T, shards int, list []Member) *shard.Table {
	t.Helper()
	table, _ := Step(New(testFleet(), shards), Input{Members: list, Fence: 7})
	for id, row := range table.Rows {
		if row.Owner == "" || row.Next != "" {
			t.Fatalf("shard %d of a new table: owner %q, next %q", id, row.Owner, row.Next)
		}
	}
	return table
}

func count(table *shard.Table, who func(shard.Row) fleet.NodeID) map[fleet.NodeID]int {
	counts := map[fleet.NodeID]int{}
	for _, row := range table.Rows {
		counts[who(row)]++
	}
	return counts
}

func owner(r shard.Row) fleet.NodeID     { return r.Owner }
func nextOwner(r shard.Row) fleet.NodeID { return r.Next }

func nodeName(i int) fleet.NodeID { return fleet.NodeID(fmt.Sprintf("node-%d", i)) }
