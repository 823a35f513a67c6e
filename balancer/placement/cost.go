package placement

import (
	"math"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
)

// Cost is what a node spends on its load in one dimension, as fractions of its limit.
type Cost decision.Cost

// Model is what load costs a node of the fleet. A dimension that was not learned is estimated from the fleet's mean.
type Model struct {
	CPU, Memory               Cost
	LearnedCPU, LearnedMemory bool
}

func modelOf(m decision.Model) Model {
	return Model{CPU: Cost(m.CPU), Memory: Cost(m.Memory), LearnedCPU: m.LearnedCPU, LearnedMemory: m.LearnedMemory}
}

// Use is a load in both dimensions, as fractions of a node's limits.
type Use struct{ CPU, Memory float64 }

// most is how full the fuller dimension is.
func (u Use) most() float64 { return max(u.CPU, u.Memory) }

func (u Use) plus(other Use) Use { return Use{CPU: u.CPU + other.CPU, Memory: u.Memory + other.Memory} }

// times scales each dimension by its own factor.
func (u Use) times(factor Use) Use {
	return Use{CPU: u.CPU * factor.CPU, Memory: u.Memory * factor.Memory}
}

// Traffic is what clients do on a node or in a shard.
type Traffic struct{ Clients, Messages float64 }

// of is what traffic costs while nobody connects.
func (c Cost) of(t Traffic) float64 { return c.PerClient*t.Clients + c.PerMessage*t.Messages }

func (c Cost) known() bool { return c.PerClient > 0 || c.PerMessage > 0 }

// Cost is what traffic costs a node in both dimensions, above what the node uses anyway.
func (m Model) Cost(t Traffic) Use { return Use{CPU: m.CPU.of(t), Memory: m.Memory.of(t)} }

// sane makes a cost usable whatever was learned.
func (c Cost) sane() Cost {
	for _, x := range []*float64{&c.Base, &c.PerClient, &c.PerMessage, &c.PerHandshake} {
		// Written so that NaN is zero.
		if !(*x > 0) {
			*x = 0
		}
		*x = min(*x, 1)
	}
	return c
}

// completed fills in what was not learned from the fleet's mean: a client and a message a second cost alike.
func (m Model) completed(p policy.Policy, nodes []Node) Model {
	if m.CPU = m.CPU.sane(); !m.LearnedCPU || !m.CPU.known() {
		m.CPU, m.LearnedCPU = meanCost(nodes, p.CPUBase, func(u Use) float64 { return u.CPU }), false
	}
	if m.Memory = m.Memory.sane(); !m.LearnedMemory || !m.Memory.known() {
		m.Memory, m.LearnedMemory = meanCost(nodes, p.MemoryBase, func(u Use) float64 { return u.Memory }), false
	}
	return m
}

// firstLoad is how many clients a fleet must have for each node before its mean tells anything.
const firstLoad = 20

// meanCost is the cost of a client on the mean over serving nodes; the zero Cost when too little is known.
func meanCost(nodes []Node, base float64, dimension func(Use) float64) Cost {
	used, held, serving := 0.0, 0.0, 0
	for i := range nodes {
		if n := &nodes[i]; n.Serving && !n.Stale {
			used += max(0, dimension(n.Level.Use)-base)
			held += n.Level.Clients + n.Level.Messages
			serving++
		}
	}
	if serving < 2 || held < firstLoad*float64(serving) || !(used > 0) {
		return Cost{}
	}
	each := used / held
	return Cost{Base: base, PerClient: each, PerMessage: each}
}

// loads weighs each shard in clients by what its traffic costs, in the dimension that it fills the most: a fleet's mean
// client counts 1. Where nothing was learned a message a second counts as a client.
func (m Model) loads(shards []Traffic, ceiling float64) []float64 {
	loads := make([]float64, len(shards))
	if !m.LearnedCPU && !m.LearnedMemory {
		for s, t := range shards {
			loads[s] = t.Clients + t.Messages
		}
		return loads
	}
	var all Traffic
	for _, t := range shards {
		all.Clients += t.Clients
		all.Messages += t.Messages
	}
	filled := m.fills(all, ceiling) / max(all.Clients, 1)
	if !(filled > 0) {
		return loads
	}
	for s, t := range shards {
		loads[s] = m.fills(t, ceiling) / filled
	}
	return loads
}

// fills is how much of a node's room below the ceiling traffic takes, by the dimension it takes the most of. A dimension that
// was not learned beside one that was says nothing: its estimate would only repeat the clients.
func (m Model) fills(t Traffic, ceiling float64) float64 {
	part := 0.0
	if m.LearnedCPU {
		part = m.CPU.of(t) / room(m.CPU, ceiling)
	}
	if m.LearnedMemory {
		part = max(part, m.Memory.of(t)/room(m.Memory, ceiling))
	}
	return part
}

// leastRoom keeps shares finite where a node's base is above the ceiling.
const leastRoom = 0.05

// room is what load may take of a node below the ceiling.
func room(c Cost, ceiling float64) float64 { return math.Max(leastRoom, ceiling-c.Base) }
