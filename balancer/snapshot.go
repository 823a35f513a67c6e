package balancer

import (
	"github.com/tidegate/tidegate/balancer/page"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/shard"
)

// show lets the handlers answer from a model and from what stands with it.
func (k *keeper) show(f load.Fleet) *view {
	seen := &view{model: f, decision: k.decision(), table: k.table()}
	k.b.views.Store(k.id, seen)
	return seen
}

// publish makes what this tick saw visible to the handlers, the page and the metrics.
func (k *keeper) publish(f load.Fleet) {
	seen := k.show(f)
	d, table := seen.decision, seen.table
	k.b.metrics.seen(f, d, table)
	k.b.metrics.heavy.WithLabelValues(k.id.String()).Set(float64(len(k.picture.Heavy)))
	d.Fleet = k.id
	snapshot := page.Snapshot{
		Fleet: k.id, Now: f.Now, Leader: k.b.Elector.Leader(), Decision: d, Asked: asked(f, d), Nodes: make([]page.NodeRow, 0, len(f.Nodes)),
	}
	owned, warming := shares(table)
	for i := range f.Nodes {
		n := &f.Nodes[i]
		snapshot.Nodes = append(snapshot.Nodes, page.NodeRow{
			ID: n.Node, State: n.State, CPU: n.CPU, Memory: n.Memory, Connections: n.Connections,
			MessagesPerSecond: n.MessagesPerSecond, P95: n.P95Latency, Lag: n.InboxLag, Weight: k.weight(n),
			Shards: owned[n.Node], Warming: warming[n.Node], Stale: n.Stale, Age: n.Age,
		})
	}
	if table != nil {
		snapshot.TableVersion = table.Version
	}
	for _, count := range warming {
		snapshot.Moves += count
	}
	k.b.page.Publish(snapshot)
}

// asked is the count that the fleet is asked for now, whoever decided it: the Deployment's own where Kubernetes tells of one,
// else what the scaler tells KEDA; 0 where neither is known.
func asked(f load.Fleet, d decision.Decision) int {
	switch {
	case f.Cluster != nil && f.Cluster.Spec > 0 && !f.Cluster.Stale:
		return f.Cluster.Spec
	case d.Sequence == 0 || d.Mode == string(policy.Shadow) && !d.Watched(f.Now):
		return 0 // a shadow tells nobody its own count
	default:
		return d.Served(f.Now)
	}
}

// weight is what the node may be given; nothing where it is on its way out.
func (k *keeper) weight(n *load.Node) float64 {
	if n.State != fleet.Serving && n.State != fleet.Starting {
		return 0
	}
	if known := k.picture.Of(n.Node); known != nil {
		return known.Weight
	}
	return 0
}

// shares counts the shards that each node owns and warms up.
func shares(table *shard.Table) (owned, warming map[fleet.NodeID]int) {
	owned, warming = map[fleet.NodeID]int{}, map[fleet.NodeID]int{}
	if table == nil {
		return owned, warming
	}
	for _, row := range table.Rows {
		if row.Owner != "" {
			owned[row.Owner]++
		}
		if row.Next != "" {
			warming[row.Next]++
		}
	}
	return owned, warming
}
