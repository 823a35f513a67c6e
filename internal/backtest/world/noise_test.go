package world_test

import (
	"math"
	"testing"

	"github.com/tidegate/tidegate/internal/backtest/world"
)

// What a node says of its CPU is off by some percent, without bias, and the same whoever asks.
func TestTheCPUOfAHeartbeatIsNoisy(t *testing.T) {
	t.Parallel()
	w := made(t, "ramp", nil)
	n, sum, squares, last, product := 0.0, 0.0, 0.0, 0.0, 0.0
	for range 2000 {
		w.Step(world.Order{Replicas: 6})
		f, again := w.Model(2, 50, 1, nil), w.Model(2, 50, 1, nil)
		for i, p := range w.Pods() {
			if f.Nodes[i].CPU != again.Nodes[i].CPU {
				t.Fatal("asked twice in one second, a node says two things")
			}
			off := f.Nodes[i].CPU/p.CPU - 1
			n, sum, squares = n+1, sum+off, squares+off*off
			if i == 0 {
				product += off * last
				last = off
			}
		}
	}
	mean, deviation := sum/n, math.Sqrt(squares/n)
	if math.Abs(mean) > 0.002 || deviation < 0.037 || deviation > 0.043 || math.Abs(product/2000) > 0.1*0.04*0.04 {
		t.Errorf("mean %v, deviation %v, from one second to the next %v: want white noise of 0.04", mean, deviation, product/2000)
	}
}
