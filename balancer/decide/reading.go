package decide

import (
	"time"

	"github.com/tidegate/tidegate/balancer/capacity"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// reading is a load model boiled down to what the rules ask.
type reading struct {
	in decision.Inputs
	// total is what the whole fleet carries; clients include those refused and waiting.
	total capacity.Load
	// connected are clients on any node.
	connected float64
	// known are the nodes that are not gone; alive those of them that do not drain either.
	known int
	alive int
	// pending are replicas asked for without a heartbeat yet, stuck ones among them.
	pending int
	// stuckNodes have been starting for too long; stuck pending replicas are not among them.
	stuckNodes int
}

const (
	// mostReading is above anything a node can report (a day in nanoseconds is under it) and sums without overflow.
	mostReading = 1e14
	// mostPending bounds what an outside source may claim to be on its way.
	mostPending = 1 << 20
)

// read counts the nodes, averages over the serving ones and sums the work of all.
func read(p policy.Policy, f load.Fleet, victims []fleet.NodeID) reading {
	nominated := newNominees(victims)
	r := reading{pending: min(max(0, f.Pending), mostPending)}
	stuck := min(max(0, f.Stuck), r.pending)
	r.in.Stuck, r.in.Starting = stuck, r.pending-stuck
	var served work
	for i := range f.Nodes {
		n := &f.Nodes[i]
		if n.State == fleet.Gone {
			continue
		}
		r.known++
		state := nominated.state(n)
		broken := unusable(n)
		if n.Stale || broken {
			// A missing number is not a low one: it keeps everything in place until it is known again.
			r.in.Stale++
		}
		r.tally(p, n, state, f.Now)
		if broken {
			continue
		}
		r.sum(p, n)
		if state == fleet.Serving {
			served.add(p, n)
			r.in.MaxCPU = max(r.in.MaxCPU, n.CPU)
			r.in.MaxMemory = max(r.in.MaxMemory, n.Memory)
		}
	}
	r.average(served)
	others := elsewhere(p, f.Nodes, nominated, served)
	r.total.CPU, r.total.Memory = served.moving.cpu+others.cpu, served.moving.memory+others.memory
	return r
}

// nominees are the nodes that the last decision named.
type nominees map[fleet.NodeID]struct{}

func newNominees(victims []fleet.NodeID) nominees {
	if len(victims) == 0 {
		return nil
	}
	set := make(nominees, len(victims))
	for _, id := range victims {
		set[id] = struct{}{}
	}
	return set
}

// state is the node's state, where a nomination counts from the decision that made it.
func (v nominees) state(n *load.Node) fleet.State {
	if n.State == fleet.Serving && v != nil {
		if _, named := v[n.Node]; named {
			return fleet.Leaving
		}
	}
	return n.State
}

// unusable finds numbers that would poison a sum. The decoder refuses them; other sources of load might not.
func unusable(n *load.Node) bool {
	for _, x := range [...]float64{n.CPU, n.Memory, n.MessagesPerSecond, n.RefusedPerSecond, float64(n.Connections), float64(n.P95Latency), float64(n.InboxLag)} {
		if !(x >= 0 && x <= mostReading) {
			return true
		}
	}
	return false
}

// tally counts the node by its state.
func (r *reading) tally(p policy.Policy, n *load.Node, state fleet.State, now time.Time) {
	if state != fleet.Draining {
		r.alive++
	}
	switch state {
	case fleet.Serving:
		r.in.Serving++
	case fleet.Leaving:
		r.in.Leaving++
	case fleet.Draining:
		r.in.Draining++
	default:
		if !n.Since.IsZero() && now.Sub(n.Since) > p.StartTimeout {
			r.stuckNodes++
			r.in.Stuck++
			return
		}
		r.in.Starting++
	}
}

// sum adds the node's clients and messages, wherever it stands in its life: they are demand for the fleet.
func (r *reading) sum(p policy.Policy, n *load.Node) {
	r.in.Connections += n.Connections
	r.in.Refused += n.RefusedPerSecond
	r.in.MessagesPerSecond += n.MessagesPerSecond
	r.connected += float64(n.Connections)
	r.total.Clients += float64(n.Connections) + n.RefusedPerSecond*p.RefusedRetry.Seconds()
	r.total.Messages += n.MessagesPerSecond
}

// average fills in the means over serving nodes.
func (r *reading) average(served work) {
	if served.nodes == 0 {
		return
	}
	n := float64(served.nodes)
	r.in.CPU, r.in.Memory = served.cpu/n, served.memory/n
	r.in.P95Latency, r.in.InboxLag = time.Duration(served.latency/n), time.Duration(served.lag/n)
}

// work sums what some nodes do.
type work struct {
	nodes        int
	clients      float64
	cpu, memory  float64
	latency, lag float64
	// moving is the part above the base: what another node would have to take over.
	moving effort
}

// effort is CPU and memory above the base, as fractions of a pod.
type effort struct{ cpu, memory float64 }

func above(p policy.Policy, n *load.Node) effort {
	return effort{cpu: max(0, n.CPU-p.CPUBase), memory: max(0, n.Memory-p.MemoryBase)}
}

func (w *work) add(p policy.Policy, n *load.Node) {
	w.nodes++
	w.clients += float64(n.Connections)
	w.cpu += n.CPU
	w.memory += n.Memory
	w.latency += float64(n.P95Latency)
	w.lag += float64(n.InboxLag)
	e := above(p, n)
	w.moving.cpu += e.cpu
	w.moving.memory += e.memory
}

// elsewhere is the CPU and memory that the clients of nodes which start, leave or drain will need on the others: what they
// would cost on a serving node, and at most what they cost now. A start or a drain burns CPU of its own, and an emptied
// process keeps its memory; neither is load that moves.
func elsewhere(p policy.Policy, nodes []load.Node, nominated nominees, served work) effort {
	var sum effort
	for i := range nodes {
		n := &nodes[i]
		if n.State == fleet.Gone || n.Connections == 0 || unusable(n) || nominated.state(n) == fleet.Serving {
			continue
		}
		own := above(p, n)
		sum.cpu += moves(own.cpu, n.Connections, served.moving.cpu, served.clients)
		sum.memory += moves(own.memory, n.Connections, served.moving.memory, served.clients)
	}
	return sum
}

func moves(own float64, clients int, served, servedClients float64) float64 {
	if !(servedClients > 0) {
		return own
	}
	return min(own, float64(clients)*served/servedClients)
}
