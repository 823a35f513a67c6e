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
		if p.silentUntil <= w.now {
			nodes = append(nodes, load.Node{Heartbeat: w.heartbeat(p), State: p.State, Since: clock(p.Up)})
			continue
		}
		age := time.Duration(w.now-p.silentSince) * time.Second
		nodes = append(nodes, load.Node{Heartbeat: p.said, State: p.State, Age: age, Stale: age > stale, Since: clock(p.Up)})
	}
	return nodes
}

// heartbeat is what a node says of itself now.
func (w *World) heartbeat(p *Pod) load.Heartbeat {
	return load.Heartbeat{
		Version: load.Version, Fleet: fleetID, Node: p.ID, Incarnation: int64(p.Created) + Settle + 1, Sequence: uint64(w.now - p.Up + 1),
		State: p.told(), CPU: p.CPU, Memory: p.Memory, Connections: int(p.Clients() + 0.5), MaxConnections: int(w.o.Physics.MostClients),
		MessagesPerSecond: p.Messages, HandshakesPerSecond: p.Handshakes, RefusedPerSecond: p.Refused,
		P95Latency: p.P95, InboxLag: time.Duration(p.backlog * float64(time.Second)),
		Uptime: time.Duration(w.now-p.Up) * time.Second, TableVersion: 1, Fence: 1, At: clock(w.now),
	}
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
