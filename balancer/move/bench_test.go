package move

import (
	"testing"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

func benchFleet(nodes int) ([]Member, []float64) {
	names := make([]fleet.NodeID, nodes)
	for i := range names {
		names[i] = nodeName(i)
	}
	loads := make([]float64, 1024)
	for s := range loads {
		loads[s] = 20 + float64(s*7919%97)
	}
	return serving(names...), loads
}

func benchTable(list []Member, loads []float64) *shard.Table {
	table, _ := Step(New(testFleet(), len(loads)), Input{Members: list, Loads: loads, Fence: 1})
	return table
}

func BenchmarkStepSteady1024x100(b *testing.B) {
	b.ReportAllocs()
	list, loads := benchFleet(100)
	table := benchTable(list, loads)
	in := Input{Members: list, Loads: loads, Fence: 1}
	for b.Loop() {
		if next, _ := Step(table, in); next != table {
			b.Fatal("a steady fleet changed")
		}
	}
}

func BenchmarkStepJoin(b *testing.B) {
	b.ReportAllocs()
	list, loads := benchFleet(100)
	table := benchTable(list[:99], loads)
	in := Input{Members: list, Loads: loads, Fence: 1}
	for b.Loop() {
		if next, _ := Step(table, in); next == table {
			b.Fatal("the newcomer got nothing")
		}
	}
}
