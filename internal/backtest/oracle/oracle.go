// Package oracle is the policy that knows the future: the fewest pods that carry every second of a trace at 0.80 of their
// CPU and memory. What it spends is the unit that others are measured in.
//
// It has the same start times: a pod exists for a mean start before it serves, so it is kept through a lull that is shorter.
// Its clients are spread evenly at no cost and leave a node in no time. No policy can do better without loading nodes higher.
package oracle

import (
	"context"
	"math"
	"time"

	"github.com/tidegate/tidegate/internal/backtest/trace"
	"github.com/tidegate/tidegate/internal/backtest/world"
)

// Ceiling is how far the oracle fills nodes.
const Ceiling = 0.80

// Plan is what the oracle does, second by second.
type Plan struct {
	// Need are the nodes that each second needs, and Pods those that exist.
	Need, Pods []int32
	// PodSeconds is the sum of Pods, and Peak the largest of Need.
	PodSeconds float64
	Peak       int
}

// arrivals is over how many seconds handshakes are averaged: who comes all at once can be let in one after the other.
const arrivals = 30

// lookUp is how many seconds go by between two looks whether a plan is still wanted.
const lookUp = 4096

// Of plans for a trace with the noise of a seed. The extra messages of hotspots count as if they were spread over the fleet.
func Of(p world.Physics, t *trace.Trace, seed uint64, minReplicas int) Plan {
	plan, _ := Within(context.Background(), p, t, seed, minReplicas) // which never ends
	return plan
}

// Within plans as Of does, and ends early with ctx's error: a year of seconds takes its time.
func Within(ctx context.Context, p world.Physics, t *trace.Trace, seed uint64, minReplicas int) (Plan, error) {
	seconds := t.Seconds()
	plan := Plan{Need: make([]int32, seconds+1), Pods: make([]int32, seconds+1)}
	walk := trace.NewWalk(t, seed, -world.Settle)
	for range world.Settle {
		walk.Next()
	}
	last, coming := 0.0, 0.0
	for s := range plan.Need {
		if s%lookUp == 0 && ctx.Err() != nil {
			return Plan{}, ctx.Err()
		}
		clients, rate := walk.Next()
		if s == 0 {
			last = clients
		}
		coming += (max(0, clients-last) - coming) / arrivals
		last = clients
		messages := clients * rate * p.Rate
		for _, h := range t.Hotspots {
			if s >= h.From && s < h.To {
				messages += h.Part * p.Carries(Ceiling) * (h.Rate - 1) * rate * p.Rate
			}
		}
		plan.Need[s] = int32(max(minReplicas, need(p, clients, messages, coming+clients/p.Session.Seconds())))
		plan.Peak = max(plan.Peak, int(plan.Need[s]))
	}
	plan.exist(int(p.MeanStart() / time.Second))
	return plan, nil
}

// need is how many nodes carry a second.
func need(p world.Physics, clients, messages, handshakes float64) int {
	cpu := clients*p.CPUClient + messages*p.CPUMessage + handshakes*p.CPUHandshake
	memory := clients*p.MemoryClient + messages*p.MemoryMessage
	return int(math.Ceil(max(cpu/(Ceiling-p.CPUBase), memory/(Ceiling-p.MemoryBase)) - 1e-9))
}

// exist fills in the pods: the largest need from now until a pod made now could serve.
func (p *Plan) exist(lead int) {
	queue := make([]int, 0, lead+1)
	next := 0
	for s := range p.Pods {
		for ; next < len(p.Need) && next <= s+lead; next++ {
			for len(queue) > 0 && p.Need[queue[len(queue)-1]] <= p.Need[next] {
				queue = queue[:len(queue)-1]
			}
			queue = append(queue, next)
		}
		for queue[0] < s {
			queue = queue[1:]
		}
		p.Pods[s] = p.Need[queue[0]]
		p.PodSeconds += float64(p.Pods[s])
	}
}
