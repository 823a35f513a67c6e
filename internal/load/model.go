package load

import (
	"context"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
)

// Node is what the balancer believes of one node.
type Node struct {
	Heartbeat
	// State is the leader's view: the heartbeat's, or Leaving once the leader nominated the node.
	State fleet.State
	// Age is how old the newest heartbeat is, on the Redis server's clock.
	Age time.Duration
	// Stale says that heartbeats are missing; the node's numbers are the last it sent.
	Stale bool
	// Since is when the leader first saw this incarnation, on the Redis server's clock.
	Since time.Time
}

// Fleet is the load model of one fleet at one time: the input of every decision.
type Fleet struct {
	ID fleet.ID
	// Now is the Redis server's time. No decision reads another clock.
	Now time.Time
	// Reachable says that the leader could read Redis for this model; without it nothing may change.
	Reachable bool
	// Nodes are sorted by id. Dead nodes whose shards have moved are not among them.
	Nodes []Node
	// Pending counts pods, and replicas that were asked for and are no pod yet, that have never sent a heartbeat.
	Pending int
	// Stuck counts pending replicas that cannot start, or have been starting for longer than any node should.
	Stuck int
	// NoPolicy says in words why the fleet's limits are not known, so that nothing may be decided; empty when they are.
	NoPolicy string
	// Cluster is what Kubernetes says of the fleet; nil outside a cluster and before its caches have filled.
	Cluster *Cluster
}

// Source reads the load of a fleet. The first source is Redis heartbeats; others may scrape /metrics.
type Source interface {
	// Heartbeats returns the newest heartbeat of each node and the server time of the reading.
	// Undecodable ones are left out and named in the error list, one error a node.
	Heartbeats(ctx context.Context, id fleet.ID) (beats []Heartbeat, now time.Time, bad []error, err error)
}
