package placement

import (
	"testing"

	"github.com/tidegate/tidegate/internal/fleet"
)

func benchLoads() []float64 {
	loads := make([]float64, 1024)
	for s := range loads {
		loads[s] = 20 + float64(s*7919%97)
	}
	return loads
}

func BenchmarkAssign1024x100(b *testing.B) {
	b.ReportAllocs()
	list, loads, none := equalMembers(100), benchLoads(), make([]fleet.NodeID, 1024)
	for b.Loop() {
		Assign(none, loads, list)
	}
}

func BenchmarkAssignSteady1024x100(b *testing.B) {
	b.ReportAllocs()
	list, loads := equalMembers(100), benchLoads()
	p := Problem{Owners: Assign(make([]fleet.NodeID, 1024), loads, list), Loads: loads, Members: list}
	for b.Loop() {
		Solve(p)
	}
}

func BenchmarkAssignMassJoin1024x100(b *testing.B) {
	b.ReportAllocs()
	list, loads := equalMembers(100), benchLoads()
	one := Assign(make([]fleet.NodeID, 1024), loads, list[:1])
	for b.Loop() {
		Assign(one, loads, list)
	}
}
