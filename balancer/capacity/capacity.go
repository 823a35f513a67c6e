// Package capacity tells how many pods a load needs, dimension by dimension: from what one pod was declared to carry, until
// heartbeats have taught what a client and a message cost, and from that since.
package capacity

import (
	"math"

	"github.com/tidegate/tidegate/balancer/policy"
)

// Load is what a whole fleet carries.
type Load struct {
	// Clients are connected and waiting ones, Connected only those on a node.
	Clients   float64
	Connected float64
	// Messages a second, of connected clients.
	Messages float64
	// Churn is how many handshakes a second the connected clients make when nothing happens: sessions that end and begin anew.
	Churn float64
	// Limit is how many clients one serving node takes at most by its own word; 0 when it does not say.
	Limit float64
	// Hot is the CPU of the hottest serving node.
	Hot float64
	// Serving is what serving nodes do, Others what nodes do that start, leave or drain.
	Serving Share
	Others  Share
}

// Share sums what some nodes do. CPU and Memory are fractions of a pod: 2.5 is two and a half pods' worth.
type Share struct {
	Nodes      float64
	Clients    float64
	Handshakes float64
	CPU        float64
	Memory     float64
}

// Dimension names what a need comes from.
type Dimension string

// The dimensions of a pod.
const (
	Connections Dimension = "connections"
	Messages    Dimension = "messages"
	CPU         Dimension = "CPU"
	Memory      Dimension = "memory"
)

// Needs are the pods that each dimension asks for, unrounded; 0 where a dimension says nothing.
type Needs struct {
	Connections float64
	Messages    float64
	CPU         float64
	Memory      float64
}

const (
	// most bounds a need. It is above every replica count, so it is cut by the maximum, never by an overflow.
	most = 1e9
	// fullest is how far a node is filled that says how many clients it takes: up to the limit itself the shares would have to
	// be exact.
	fullest = 0.95
	// leastRoom is the least part of a pod that is thought to be left between base and ceiling.
	leastRoom = 0.05
)

// Of returns the pods that the load needs when it grows by this factor, with this margin. A need is never negative, infinite or
// not a number.
//
// CPU and memory: what clients and messages cost by the model, or what the nodes were measured to do above their base where that
// is more than the model can explain. A dimension that is not learned has its measure alone. What is declared speaks only
// until then, and for ever where CPU or memory cannot be seen: then it may stand for what nobody measures.
func Of(p policy.Policy, m Model, l Load, growth, margin float64) Needs {
	factor := sane(growth) * sane(margin)
	n := Needs{
		CPU:    pods(l.work(m.CPU, m.LearnedCPU, cpuOf, p.Learn.CapacityDoubt)*factor, max(leastRoom, p.CPUCeiling-m.CPU.Base)),
		Memory: pods(l.work(m.Memory, m.LearnedMemory, memoryOf, p.Learn.CapacityDoubt)*factor, max(leastRoom, p.MemoryCeiling-m.Memory.Base)),
	}
	if !m.LearnedCPU || !(m.LearnedMemory || l.Serving.Memory > 0) {
		n.Connections = pods(l.Clients*factor, p.ConnectionsPerPod)
		n.Messages = pods(l.Messages*l.fill()*factor, p.MessagesPerPod)
	}
	n.Connections = max(n.Connections, pods(l.Clients*factor, fullest*l.Limit))
	return n
}

// work is the load in pods' worths of one dimension, above the base.
func (l Load) work(c Cost, learned bool, of func(Share) float64, doubt float64) float64 {
	seen := l.measured(c, of) * l.fill()
	if !learned {
		return seen
	}
	modelled := c.PerClient*l.Clients + (c.PerMessage*l.Messages+c.PerHandshake*l.Churn)*l.fill()
	return max(modelled, seen/(1+doubt))
}

// measured is what the nodes do above their base in one dimension, but for a rush of handshakes, which passes.
func (l Load) measured(c Cost, of func(Share) float64) float64 {
	rush := func(s Share) float64 {
		steady := 0.0
		if l.Connected > 0 {
			steady = l.Churn * s.Clients / l.Connected
		}
		return c.PerHandshake * max(0, s.Handshakes-steady)
	}
	served := max(0, of(l.Serving)-c.Base*l.Serving.Nodes-rush(l.Serving))
	own := max(0, of(l.Others)-c.Base*l.Others.Nodes-rush(l.Others))
	if !(l.Serving.Clients > 0) {
		return served + own
	}
	// The clients of nodes which start, leave or drain will need on the others what they would cost on a serving node, and at
	// most what they cost now. A start or a drain burns CPU of its own, and an emptied process keeps its memory; neither is load
	// that moves.
	return served + min(own, l.Others.Clients*served/l.Serving.Clients)
}

// mostFill bounds what is concluded from the few that are connected on the many that wait: right after an outage what nodes
// spend on starting and on refusals would be multiplied by hundreds. Beyond it, what a client is known to cost speaks.
const mostFill = 2.5

// fill is the factor by which the fleet's load grows once those who wait are in.
func (l Load) fill() float64 {
	if !(l.Connected > 0) || !(l.Clients > l.Connected) {
		return 1
	}
	return min(mostFill, l.Clients/l.Connected)
}

func cpuOf(s Share) float64 { return s.CPU }

func memoryOf(s Share) float64 { return s.Memory }

// pods divides a load by what one pod carries; unknown capacity asks for nothing.
func pods(total, each float64) float64 {
	if !(each > 0) {
		return 0
	}
	return sane(total / each)
}

// sane makes an unusable number zero and bounds the rest.
func sane(x float64) float64 {
	// Written so that NaN is zero.
	if !(x > 0) {
		return 0
	}
	return min(x, most)
}

// Bounded is a need that was multiplied: never negative, infinite or not a number.
func Bounded(need float64) float64 { return sane(need) }

// PerPod is how many clients and messages a pod at its ceiling carries in the mix of the moment: as declared until the cost of
// load is learned, and by the load over its need since. 0 is unknown.
func PerPod(p policy.Policy, m Model, l Load, need float64) (clients, messages float64) {
	if !m.LearnedCPU {
		return p.ConnectionsPerPod, p.MessagesPerPod
	}
	if l.Clients > 0 && need > 0 {
		return sane(l.Clients / need), sane(l.Messages * l.fill() / need)
	}
	return pods(max(leastRoom, p.CPUCeiling-m.CPU.Base), m.CPU.PerClient), pods(max(leastRoom, p.CPUCeiling-m.CPU.Base), m.CPU.PerMessage)
}

// Most is the largest need and the dimension that has it; on a tie the first of connections, messages, CPU, memory.
func (n Needs) Most() (float64, Dimension) {
	need, from := n.Connections, Connections
	if n.Messages > need {
		need, from = n.Messages, Messages
	}
	if n.CPU > need {
		need, from = n.CPU, CPU
	}
	if n.Memory > need {
		need, from = n.Memory, Memory
	}
	return need, from
}

// dust is the relative error that sums of fractions collect; 3.0000000001 pods are three.
const dust = 1e-9

// Whole rounds a need up to whole pods, forgiving float dust.
func Whole(need float64) int {
	need = sane(need)
	return int(math.Ceil(need - max(need, 1)*dust))
}
