package decide

import (
	"slices"
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
	// load is what the whole fleet carries; clients include those refused and waiting.
	load capacity.Load
	// lesson is what the nodes teach that know their work.
	lesson capacity.Lesson
	// limited sums the limits of serving nodes that have one, which are so many.
	limited float64
	limits  int
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
func read(p *policy.Policy, f *load.Fleet, victims []fleet.NodeID) reading {
	nominated := newNominees(victims)
	retry := p.RefusedRetry.Seconds()
	r := reading{pending: min(max(0, f.Pending), mostPending)}
	stuck := min(max(0, f.Stuck), r.pending)
	r.in.Stuck, r.in.Starting = stuck, r.pending-stuck
	var latency, lag float64
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
		r.sum(n, retry)
		if state != fleet.Serving {
			if n.Connections > 0 {
				share(&r.load.Others, n)
			}
			continue
		}
		latency += float64(n.P95Latency)
		lag += float64(n.InboxLag)
		r.serve(p, n)
	}
	r.average(latency, lag)
	return r
}

// nominees are the nodes that the last decision named, sorted.
type nominees []fleet.NodeID

func newNominees(victims []fleet.NodeID) nominees {
	if len(victims) < 2 {
		return victims
	}
	return slices.Sorted(slices.Values(victims))
}

// state is the node's state, where a nomination counts from the decision that made it.
func (v nominees) state(n *load.Node) fleet.State {
	if n.State == fleet.Serving && len(v) > 0 {
		if _, named := slices.BinarySearch(v, n.Node); named {
			return fleet.Leaving
		}
	}
	return n.State
}

// unusable finds numbers that would poison a sum. The decoder refuses them; other sources of load might not.
func unusable(n *load.Node) bool {
	for _, x := range [...]float64{n.CPU, n.Memory, n.MessagesPerSecond, n.RefusedPerSecond, n.HandshakesPerSecond, float64(n.Connections), float64(n.MaxConnections), float64(n.P95Latency), float64(n.InboxLag)} {
		if !(x >= 0 && x <= mostReading) {
			return true
		}
	}
	return false
}

// tally counts the node by its state.
func (r *reading) tally(p *policy.Policy, n *load.Node, state fleet.State, now time.Time) {
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
func (r *reading) sum(n *load.Node, retry float64) {
	r.in.Connections += n.Connections
	r.in.Refused += n.RefusedPerSecond
	r.in.MessagesPerSecond += n.MessagesPerSecond
	r.load.Connected += float64(n.Connections)
	r.load.Clients += float64(n.Connections) + n.RefusedPerSecond*retry
	r.load.Messages += n.MessagesPerSecond
}

// serve adds a node that serves, and what it teaches.
func (r *reading) serve(p *policy.Policy, n *load.Node) {
	share(&r.load.Serving, n)
	r.in.MaxCPU = max(r.in.MaxCPU, n.CPU)
	r.load.Hot = r.in.MaxCPU
	r.in.MaxMemory = max(r.in.MaxMemory, n.Memory)
	if n.MaxConnections > 0 {
		r.limited += float64(n.MaxConnections)
		r.limits++
	}
	if !n.Stale && n.Uptime >= p.Learn.TeachUptime && n.CPU <= p.Learn.TeachCPU {
		r.lesson.Add(float64(n.Connections), n.MessagesPerSecond, n.HandshakesPerSecond, n.CPU, n.Memory)
	}
}

func share(s *capacity.Share, n *load.Node) {
	s.Nodes++
	s.Clients += float64(n.Connections)
	s.Handshakes += n.HandshakesPerSecond
	s.CPU += n.CPU
	s.Memory += n.Memory
}

// average fills in the means over serving nodes.
func (r *reading) average(latency, lag float64) {
	if r.limits > 0 {
		r.load.Limit = r.limited / float64(r.limits)
	}
	s := &r.load.Serving
	if s.Nodes == 0 {
		return
	}
	r.in.CPU, r.in.Memory = s.CPU/s.Nodes, s.Memory/s.Nodes
	r.in.P95Latency, r.in.InboxLag = time.Duration(latency/s.Nodes), time.Duration(lag/s.Nodes)
}
