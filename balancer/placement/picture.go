package placement

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/shard"
)

// How fast readings are followed: long enough that noise moves nobody's shards, short enough for a flash crowd.
const (
	nodeMemory  = 10 * time.Second
	shardMemory = 20 * time.Second
)

// Picture is what placement knows of a fleet: the readings of nodes and shards without the noise of single seconds, and what
// follows from them. It is a value: Observe makes the next one from the last.
type Picture struct {
	// At is the time of the newest reading, on the Redis server's clock.
	At time.Time
	// Model is what load costs: learned, or estimated from the fleet's mean; a zero Cost when neither is possible.
	Model Model
	// Nodes are sorted by id.
	Nodes []Node
	// Shards are the traffic of each shard over all nodes, and Loads the same in clients (see Solve).
	Shards []Traffic
	Loads  []float64
	// Heavy are the shards that make their node hot by themselves: each has a node to itself, and more nodes would not help.
	Heavy []shard.ID

	heavy []burden
}

// Node is what placement knows of one node.
type Node struct {
	ID      fleet.NodeID
	Serving bool
	Stale   bool
	// Connected are the clients at the newest reading.
	Connected float64
	// Most is the node's own limit of clients; 0 is none.
	Most  float64
	Level Level
	Stand Stand
	// Weight is what the node may carry relative to the others; 1 is a usual node.
	Weight float64
	// Limit is what the node may take of clients it does not know.
	Limit shard.Limit

	bounds      bounds // what the limit follows
	incarnation int64
	trend       float64 // what the weight follows
}

// Level is a node's reading without the noise of single seconds.
type Level struct {
	Use
	Traffic
	// Handshakes and Refused a second.
	Handshakes, Refused float64
}

// Of finds a node, nil when it is not known.
func (p *Picture) Of(id fleet.NodeID) *Node {
	i, found := slices.BinarySearchFunc(p.Nodes, id, func(n Node, id fleet.NodeID) int { return cmp.Compare(n.ID, id) })
	if !found {
		return nil
	}
	return &p.Nodes[i]
}

// Observe takes a reading in. Readings may come at any pace, mostly one a second; one that is not younger than the last
// changes nothing but who is there. Learned is what load costs by the newest decision; the zero Model is nothing learned.
func Observe(p policy.Policy, learned decision.Model, nodes []load.Node, shards int, now time.Time, last Picture) Picture {
	passed := max(0, now.Sub(last.At))
	next := Picture{At: now, Nodes: make([]Node, 0, len(nodes))}
	for i := range nodes {
		next.Nodes = append(next.Nodes, followed(&nodes[i], last.Of(nodes[i].Node), passed))
	}
	if !slices.IsSortedFunc(next.Nodes, byID) {
		slices.SortFunc(next.Nodes, byID)
	}
	next.Model = modelOf(learned).completed(p, next.Nodes)
	next.Shards = traffic(nodes, shards, last.Shards, passed)
	next.Loads = next.Model.loads(next.Shards, p.PlacementRoom)
	fleetwide := sum(next.Nodes)
	for i := range next.Nodes {
		n := &next.Nodes[i]
		if n.Stale && n.Weight > 0 {
			continue // of a node that is not heard nothing new is known
		}
		n.Stand = next.Model.stand(n.Level)
		n.Weight, n.trend = weigh(p, next.Model, n, fleetwide, passed)
		n.Limit, n.bounds = limit(p.Placement, next.Model, n, fleetwide, passed)
	}
	next.heavy = next.burdens(nodes, p.Placement.HotspotCool, last.heavy)
	next.Heavy = shardsOf(next.heavy)
	return next
}

func byID(a, b Node) int { return cmp.Compare(a.ID, b.ID) }

// followed is a node's next level; weight and limit are still the last ones.
func followed(n *load.Node, last *Node, passed time.Duration) Node {
	next := Node{
		ID: n.Node, Serving: n.State == fleet.Serving, Stale: n.Stale,
		Connected: float64(n.Connections), Most: float64(n.MaxConnections), incarnation: n.Incarnation,
		Level: Level{
			Use: Use{CPU: n.CPU, Memory: n.Memory}, Traffic: Traffic{Clients: float64(n.Connections), Messages: n.MessagesPerSecond},
			Handshakes: n.HandshakesPerSecond, Refused: n.RefusedPerSecond,
		},
	}
	if last == nil || last.incarnation != n.Incarnation {
		return next
	}
	next.Stand, next.Weight, next.trend, next.Limit, next.bounds = last.Stand, last.Weight, last.trend, last.Limit, last.bounds
	part := 0.0
	if !n.Stale {
		part = followedPart(passed, nodeMemory)
	}
	next.Level = last.Level.toward(next.Level, part)
	return next
}

// toward goes a part of the way to a new reading. All figures of a node are followed alike, so that what they say of each
// other stays true while they change.
func (l Level) toward(fresh Level, part float64) Level {
	step := func(from *float64, to float64) { *from += part * (to - *from) }
	step(&l.CPU, fresh.CPU)
	step(&l.Memory, fresh.Memory)
	step(&l.Clients, fresh.Clients)
	step(&l.Messages, fresh.Messages)
	step(&l.Handshakes, fresh.Handshakes)
	step(&l.Refused, fresh.Refused)
	return l
}

// followedPart is how much of a change is taken over in this time.
func followedPart(passed, memory time.Duration) float64 {
	return 1 - math.Exp(-passed.Seconds()/memory.Seconds())
}

// traffic adds up what every node says of each shard and follows it.
func traffic(nodes []load.Node, shards int, last []Traffic, passed time.Duration) []Traffic {
	next := make([]Traffic, shards)
	for i := range nodes {
		for _, s := range nodes[i].Shards {
			if s.ID >= 0 && int(s.ID) < shards {
				next[s.ID].Clients += float64(s.Connections)
				next[s.ID].Messages += s.MessagesPerSecond
			}
		}
	}
	if len(last) != shards {
		return next
	}
	part := followedPart(passed, shardMemory)
	for s := range next {
		next[s].Clients = last[s].Clients + part*(next[s].Clients-last[s].Clients)
		next[s].Messages = last[s].Messages + part*(next[s].Messages-last[s].Messages)
	}
	return next
}

// sum adds up the levels of the nodes that serve and are heard.
func sum(nodes []Node) Level {
	var all Level
	for i := range nodes {
		if n := &nodes[i]; n.Serving && !n.Stale {
			all.Clients += n.Level.Clients
			all.Messages += n.Level.Messages
			all.Handshakes += n.Level.Handshakes
			all.Refused += n.Level.Refused
		}
	}
	return all
}
