package world

import (
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// stale is from when on a node counts as silent: the default of the policy.
const stale = 3 * time.Second

// appendNodes appends what the balancer believes of each node that speaks, sorted by id. Of a silent one it believes what it
// last said.
func (w *World) appendNodes(nodes []load.Node) []load.Node {
	for _, p := range w.pods {
		if !p.Heard(w.now) {
			continue
		}
		nodes = append(nodes, load.Node{})
		n := &nodes[len(nodes)-1]
		n.State, n.Since = p.State, clock(p.Up)
		if p.silentUntil <= w.now {
			w.speak(p, &n.Heartbeat)
			continue
		}
		n.Heartbeat, n.Age = p.said, time.Duration(w.now-p.silentSince)*time.Second
		n.Stale = n.Age > stale
	}
	return nodes
}

// speak writes what a node says of itself now over an empty heartbeat, in place, since that is most of what a backtest writes.
func (w *World) speak(p *Pod, h *load.Heartbeat) {
	h.Version, h.Fleet, h.Node, h.Incarnation, h.Sequence = load.Version, fleetID, p.ID, int64(p.Created)+Settle+1, uint64(w.now-p.Up+1)
	h.State, h.CPU, h.Memory = p.told(), p.CPU*(1+cpuNoise*chanceOf(w.o.Seed, p.ID, w.now)), p.Memory
	h.Connections, h.MaxConnections = int(p.Clients()+0.5), int(w.o.Physics.MostClients)
	h.MessagesPerSecond, h.HandshakesPerSecond, h.RefusedPerSecond = p.Messages, p.Handshakes, p.Refused
	h.P95Latency, h.InboxLag = p.P95, time.Duration(p.backlog*float64(time.Second))
	h.Uptime, h.TableVersion, h.Fence, h.At = time.Duration(w.now-p.Up)*time.Second, 1, 1, clock(w.now)
}

// cpuNoise is how far the CPU that a heartbeat tells is from the node's own, as a standard deviation relative to it: a node
// measures over about a second, and garbage is collected when it is.
const cpuNoise = 0.04

// chanceOf is chance of mean 0 and deviation 1 that belongs to a node's second, so that it is the same whoever asks, and however
// often. It is the sum of four even ones, nearly normal and never beyond 3.5.
func chanceOf(seed uint64, id fleet.NodeID, second int) float64 {
	x := seed*0x9e3779b97f4a7c15 + uint64(second)
	for i := range len(id) {
		x = (x ^ uint64(id[i])) * 0x100000001b3
	}
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	const each, deviation = 0xffff, 0.57735026918962576 // of four even chances from 0 to 1
	sum := float64(x&each) + float64(x>>16&each) + float64(x>>32&each) + float64(x>>48)
	return (sum/each - 2) / deviation
}

// told is the state by the node's own word, which knows of no nomination.
func (p *Pod) told() fleet.State {
	if p.State == fleet.Leaving {
		return fleet.Serving
	}
	return p.State
}

// Model is the fleet as the balancer believes it to be, in a cluster whose HPA is Tidegate's. Its nodes are good until the
// next call.
func (w *World) Model(minReplicas, maxReplicas int, startTimeout time.Duration, buffer []load.Node) load.Fleet {
	nodes := w.appendNodes(buffer[:0])
	f := load.Fleet{ID: fleetID, Now: clock(w.now), Reachable: true, Nodes: nodes}
	there := 0
	for _, p := range w.pods {
		if p.Deleted {
			continue
		}
		there++
		if p.Heard(w.now) {
			continue
		}
		f.Pending++
		if time.Duration(w.now-p.Created)*time.Second > startTimeout {
			f.Stuck++
		}
	}
	f.Pending += max(0, w.spec-there)
	f.Cluster = w.cluster(minReplicas, maxReplicas, there)
	return f
}

// exact is the tolerance of the shipped ScaledObject.
var exact = 0.0

// cluster is what Kubernetes says. It is made anew only when a pod comes or goes.
func (w *World) cluster(minReplicas, maxReplicas, there int) *load.Cluster {
	if c := w.facts; c != nil && !w.news {
		return c
	}
	w.news = false
	c := &load.Cluster{
		Spec: w.spec, Status: there, Pods: make(map[fleet.NodeID]load.Pod, len(w.pods)),
		HPA: load.Autoscaler{Found: true, Min: minReplicas, Max: maxReplicas, Up: &exact, Down: &exact},
	}
	for _, p := range w.pods {
		c.Pods[p.ID] = load.Pod{Ready: p.Served && !p.Deleted, Deleting: p.Deleted}
	}
	w.facts = c
	return c
}
