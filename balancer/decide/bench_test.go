package decide_test

import (
	"testing"

	"github.com/tidegate/tidegate/balancer/decide"
)

// thousand is a memory that has seen a fleet of 1,000 nodes for as long as it remembers anything.
func thousand(b *testing.B, clients int) decide.State {
	b.Helper()
	p := quick()
	p.MaxReplicas = 2000
	var s decide.State
	for i := range 70 {
		_, s = decide.Next(p, s, model(float64(i), nodes(1000, clients)))
	}
	return s
}

// BenchmarkNext1000Nodes is one decision of a leader, in steady state and with nodes to nominate.
func BenchmarkNext1000Nodes(b *testing.B) {
	p := quick()
	p.MaxReplicas = 2000
	b.Run("steady", func(b *testing.B) {
		s, f := thousand(b, 85), model(70, nodes(1000, 85))
		b.ReportAllocs()
		for b.Loop() {
			decide.Next(p, s, f)
		}
	})
	b.Run("scale-in", func(b *testing.B) {
		s, f := thousand(b, 85), model(70, nodes(1000, 40))
		s.Last.Desired = 500
		b.ReportAllocs()
		for b.Loop() {
			decide.Next(p, s, f)
		}
	})
}
