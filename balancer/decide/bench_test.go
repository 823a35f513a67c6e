package decide_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
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

// fleetOf is a memory that has learned from a fleet of so many nodes for ten minutes.
func fleetOf(b *testing.B, count int) (policy.Policy, decide.State) {
	b.Helper()
	p := policy.Default()
	p.ConnectionsPerPod, p.MinReplicas, p.MaxReplicas = 100, count, 2*count
	var s decide.State
	for i := range 600 {
		_, s = decide.Next(p, s, model(float64(i), nodes(count, 80+i/40)))
	}
	if !s.Model.LearnedCPU {
		b.Fatal("nothing was learned")
	}
	return p, s
}

// BenchmarkNext is one step of a second, as a backtest takes them: each with the memory of the one before.
func BenchmarkNext(b *testing.B) {
	for _, count := range []int{50, 1000} {
		b.Run(fmt.Sprintf("%d nodes", count), func(b *testing.B) {
			p, s := fleetOf(b, count)
			f := model(600, nodes(count, 85))
			b.ReportAllocs()
			for b.Loop() {
				f.Now = f.Now.Add(time.Second)
				_, s = decide.Next(p, s, f)
			}
		})
	}
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
