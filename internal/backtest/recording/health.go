package recording

import (
	"math"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest/score"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// full is the load at which nobody suffers yet, and that the need is counted with.
const full = 0.80

// reading is a fleet at one time, boiled down to what a replay tells of it.
type reading struct {
	// serving nodes carry clients; need is how many would at 0.80 each.
	serving, need int
	// clients are connected or waiting, bad of them on a node that is overloaded, or waiting.
	clients, bad float64
}

// examine reads how the fleet fares. What no policy decides by (stale numbers, a base that is not known) is taken as it is.
func examine(p policy.Policy, f load.Fleet) reading {
	var r reading
	var cpu, memory, connected, waiting float64
	for i := range f.Nodes {
		n := &f.Nodes[i]
		if n.State == fleet.Gone {
			continue
		}
		if n.State == fleet.Serving || n.State == fleet.Leaving {
			r.serving++
		}
		cpu += max(0, n.CPU-p.CPUBase)
		memory += max(0, n.Memory-p.MemoryBase)
		connected += float64(n.Connections)
		waiting += n.RefusedPerSecond * p.RefusedRetry.Seconds()
		if (score.Node{CPU: n.CPU, Memory: n.Memory, P95: n.P95Latency}).Bad() {
			r.bad += float64(n.Connections)
		}
	}
	r.clients = connected + waiting
	r.bad += waiting
	if connected > 0 {
		// Who waits will cost what the others cost.
		growth := r.clients / connected
		cpu, memory = cpu*growth, memory*growth
	}
	r.need = max(1, pods(cpu, full-p.CPUBase), pods(memory, full-p.MemoryBase))
	return r
}

// mostPods bounds a count that comes from a file.
const mostPods = 1e6

// pods divides work by what one pod does of it; where one does none, nothing is known.
func pods(work, each float64) int {
	if !(each > 0) || !(work > 0) {
		return 0
	}
	return int(math.Ceil(min(work/each, mostPods) - 1e-9))
}

// running counts the nodes that do not leave.
func running(f load.Fleet) int {
	count := 0
	for i := range f.Nodes {
		if s := f.Nodes[i].State; s != fleet.Gone && s != fleet.Draining {
			count++
		}
	}
	return count
}
