// Package metric is the one home of the names of every Prometheus metric and label.
package metric

// Labels.
const (
	LabelFleet  = "fleet"
	LabelNode   = "node"
	LabelReason = "reason"
	LabelCode   = "code"
	LabelMethod = "method"
	LabelState  = "state"
	LabelResult = "result"
)

// Metrics of the socket node.
const (
	SocketConnections       = "tidegate_socket_connections"
	SocketHandshakesTotal   = "tidegate_socket_handshakes_total"
	SocketClosedTotal       = "tidegate_socket_closed_total"
	SocketAcceptedTotal     = "tidegate_socket_messages_accepted_total"
	SocketDeliveredTotal    = "tidegate_socket_messages_delivered_total"
	SocketDuplicatesTotal   = "tidegate_socket_duplicates_dropped_total"
	SocketDeliverySeconds   = "tidegate_socket_delivery_seconds"
	SocketInboxLagSeconds   = "tidegate_socket_inbox_lag_seconds"
	SocketCPUFraction       = "tidegate_socket_cpu_fraction"
	SocketMemoryFraction    = "tidegate_socket_memory_fraction"
	SocketShards            = "tidegate_socket_shards"
	SocketDrainSeconds      = "tidegate_socket_drain_seconds"
	SocketDrainForcedTotal  = "tidegate_socket_drain_forced_closes_total"
	SocketHeartbeatFailures = "tidegate_socket_heartbeat_failures_total"
)

// Metrics of the balancer.
const (
	BalancerLeader           = "tidegate_balancer_leader"
	BalancerDesired          = "tidegate_balancer_desired_replicas"
	BalancerAsked            = "tidegate_balancer_asked_replicas"
	BalancerShadow           = "tidegate_balancer_shadow"
	BalancerUrgency          = "tidegate_balancer_urgency"
	BalancerDecisionsTotal   = "tidegate_balancer_decisions_total"
	BalancerStepSeconds      = "tidegate_balancer_step_seconds"
	BalancerNodes            = "tidegate_balancer_nodes"
	BalancerBadBeatsTotal    = "tidegate_balancer_bad_heartbeats_total"
	BalancerShardMovesTotal  = "tidegate_balancer_shard_moves_total"
	BalancerOrphanShards     = "tidegate_balancer_shards_without_owner"
	BalancerHeavyShards      = "tidegate_balancer_heavy_shards"
	BalancerAuditFailures    = "tidegate_balancer_audit_failures_total"
	BalancerFencedTotal      = "tidegate_balancer_fenced_writes_total"
	BalancerStuckNodes       = "tidegate_balancer_stuck_nodes"
	BalancerResolvesTotal    = "tidegate_balancer_resolves_total"
	BalancerTableVersion     = "tidegate_balancer_table_version"
	BalancerHoldSecondsTotal = "tidegate_balancer_hold_seconds_total"
	BalancerKubernetesStale  = "tidegate_balancer_kubernetes_stale"
)

// Metrics of the external scaler.
const (
	ScalerCallsTotal     = "tidegate_scaler_calls_total"
	ScalerCallSeconds    = "tidegate_scaler_call_seconds"
	ScalerStreams        = "tidegate_scaler_streams"
	ScalerDecisionAge    = "tidegate_scaler_decision_age_seconds"
	ScalerServedReplicas = "tidegate_scaler_served_replicas"
)
