package capacity

import (
	"errors"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
)

// Cost is what a pod spends on its load in one dimension, as fractions of its limit.
type Cost = decision.Cost

// Model is what capacity is believed to be.
type Model = decision.Model

// unknownCapacity is how many clients are thought to bring a pod to its ceiling while nobody said and nothing taught better. It
// is cautious: a WebSocket node that does little for a client carries ten times as many.
const unknownCapacity = 1000

// Prior is the model before any heartbeat taught: the declared capacity as the load with which a pod is at its ceilings, or a
// cautious guess. Where clients and messages are both declared, each takes half.
func Prior(p policy.Policy) Model {
	clients, messages := p.ConnectionsPerPod, p.MessagesPerPod
	share := 1.0
	switch {
	case clients > 0 && messages > 0:
		share = 0.5
	case !(clients > 0) && !(messages > 0):
		clients = unknownCapacity
	}
	cost := func(base, ceiling float64) Cost {
		c := Cost{Base: base}
		if clients > 0 {
			c.PerClient = share * (ceiling - base) / clients
		}
		if messages > 0 {
			c.PerMessage = share * (ceiling - base) / messages
		}
		return c
	}
	return Model{CPU: cost(p.CPUBase, p.CPUCeiling), Memory: cost(p.MemoryBase, p.MemoryCeiling)}
}

// mostCost is above what anything can cost a pod.
const mostCost = 1e6

// Validate refuses a model that nothing can have taught.
func Validate(m Model) error {
	for _, c := range [...]Cost{m.CPU, m.Memory} {
		for _, x := range [...]float64{c.Base, c.PerClient, c.PerMessage, c.PerHandshake} {
			if !(x >= 0 && x <= mostCost) {
				return errors.New("model has a cost that nothing has")
			}
		}
	}
	return nil
}
