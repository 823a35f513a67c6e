package cluster

import (
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/load"
)

// View is what is known of a fleet besides its heartbeats, all of it at one moment. The zero View is that of a fleet outside
// of a cluster: there the rules of all fleets are its policy.
type View struct {
	// Policy is the one that the fleet's ScaledObject asks for, the last good one; nil where none is known.
	Policy *policy.Policy
	// NoPolicy says in words why none is known though one must be, so that nothing may be decided: the rules of all fleets
	// may be narrower than the fleet's own, and cut it. Empty when one is known, and outside of a cluster.
	NoPolicy string
	// Cluster is what Kubernetes says of the fleet; nil when it says nothing, so that heartbeats are all there is. It is never
	// changed.
	Cluster *load.Cluster
}
