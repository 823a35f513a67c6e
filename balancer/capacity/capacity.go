// Package capacity tells how many pods a load needs, dimension by dimension, from what one pod can carry.
package capacity

import (
	"math"

	"github.com/tidegate/tidegate/balancer/policy"
)

// Load is what a whole fleet carries.
type Load struct {
	// Clients are connected and waiting ones.
	Clients float64
	// Messages a second.
	Messages float64
	// CPU and Memory are sums of what each pod uses above its base, as fractions of its limits: 2.5 is two and a half pods'
	// worth.
	CPU    float64
	Memory float64
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

// most bounds a need. It is above every replica count, so it is cut by the maximum, never by an overflow.
const most = 1e9

// Of returns what the load needs when it grows by this factor, with the policy's margin. Declared capacity speaks for
// connections and messages, the room between base and ceiling for measured CPU and memory. A need is never negative, infinite or not a number.
func Of(p policy.Policy, l Load, growth float64) Needs {
	factor := sane(growth) * p.Margin
	return Needs{
		Connections: pods(l.Clients*factor, p.ConnectionsPerPod),
		Messages:    pods(l.Messages*factor, p.MessagesPerPod),
		CPU:         pods(l.CPU*factor, p.CPUCeiling-p.CPUBase),
		Memory:      pods(l.Memory*factor, p.MemoryCeiling-p.MemoryBase),
	}
}

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
