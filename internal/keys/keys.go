// Package keys is the one home of every name that two processes must agree on:
// Redis keys and channels, Kafka topics and groups, HTTP paths and headers, Kubernetes labels.
package keys

import "github.com/tidegate/tidegate/internal/fleet"

// Redis. Everything of one fleet carries one hash tag, so that a Redis Cluster keeps it in one slot;
// sessions carry a tag of their own, so that they spread.

// Nodes is the hash of a fleet's heartbeats: field is the node, value a stamped heartbeat.
func Nodes(id fleet.ID) string { return "tidegate:{" + id.String() + "}:nodes" }

// Table is the fenced cell that holds a fleet's shard table.
func Table(id fleet.ID) string { return "tidegate:{" + id.String() + "}:table" }

// Decision is the fenced cell that holds a fleet's newest decision.
func Decision(id fleet.ID) string { return "tidegate:{" + id.String() + "}:decision" }

// State is the fenced cell that holds what the policy remembers of a fleet between two decisions.
func State(id fleet.ID) string { return "tidegate:{" + id.String() + "}:state" }

// Marker is written once a fleet is served and says that this Redis knows the fleet's sessions;
// its value is the Redis server time in milliseconds at which it was written.
func Marker(id fleet.ID) string { return "tidegate:{" + id.String() + "}:marker" }

// Session is the hash that records one client's newest session.
func Session(id fleet.ID, client string) string {
	return "tidegate:{" + id.String() + "/" + client + "}:session"
}

// Changed is the channel on which a write to the fenced cell of this key is announced.
func Changed(cell string) string { return cell + ":changed" }

// Fleets is the set of fleet ids that have ever sent a heartbeat.
const Fleets = "tidegate:fleets"

// LeaderLease is the lease key outside Kubernetes; LeaderFence holds the highest fencing token given out.
// Both carry one hash tag because one script takes them together.
const (
	LeaderLease = "tidegate:{leader}:lease"
	LeaderFence = "tidegate:{leader}:fence"
)

// Kafka.

// InboxTopic is the log of a fleet's messages, one partition a shard.
func InboxTopic(id fleet.ID) string { return "tidegate.inbox." + id.Namespace + "." + id.Name }

// InboxGroup is the consumer group under which nodes commit what they delivered, for monitoring only.
func InboxGroup(id fleet.ID) string { return "tidegate.delivered." + id.Namespace + "." + id.Name }

// AuditTopic receives every decision.
const AuditTopic = "tidegate.control.scale"

// HTTP.
const (
	// PathResolve answers which node a client belongs to.
	PathResolve = "/api/v1/resolve"
	// PathVictims lists, for the webhook and the demo's actuator, the nodes that should leave first.
	PathVictims = "/api/v1/victims"
	// PathDecision shows the newest decision of a fleet on the balancer's admin port.
	PathDecision = "/api/v1/decision"
	// PathDrain starts or watches a node's drain on its admin port.
	PathDrain = "/drain"
	// PathDrainStatus tells how far a drain is.
	PathDrainStatus = "/drain/status"
	// PathHealth answers 200 while the process lives.
	PathHealth = "/healthz"
	// PathReady answers 503 only while a node starts or drains.
	PathReady = "/readyz"
	// PathMetrics serves Prometheus metrics.
	PathMetrics = "/metrics"
	// HeaderNonce carries the pod's drain nonce.
	HeaderNonce = "X-Tidegate-Drain-Nonce"
	// QueryFleet names the fleet where one server knows several.
	QueryFleet = "fleet"
)

// ScalerMetric is the one metric name that the external scaler serves.
const ScalerMetric = "tidegate-desired-replicas"
