// Package urgency labels a fleet with how badly it needs room: the urgency table, row by row, first match first.
package urgency

import (
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// Of returns the fleet's urgency and the row of the table that gave it, as a decision.Reason constant.
// The inputs hold the averages over serving nodes; nodes are looked at one by one for a hotspot.
// A reading that is not a number matches no row.
func Of(p policy.Policy, in decision.Inputs, nodes []load.Node) (decision.Urgency, string) {
	t := p.Urgency
	switch {
	case in.CPU > t.CriticalCPU || in.Memory > t.CriticalMemory:
		return decision.Critical, decision.ReasonOverload
	case hotspot(t, nodes):
		return decision.Critical, decision.ReasonHotspot
	case in.P95Latency > t.HighLatency && pressed(t, in):
		return decision.High, decision.ReasonLatency
	case in.InboxLag > t.HighLag && pressed(t, in):
		return decision.High, decision.ReasonBacklog
	case moderate(t, in):
		return decision.Moderate, decision.ReasonPressure
	default:
		return decision.Balanced, decision.ReasonBalanced
	}
}

// hotspot looks at serving nodes only: one that starts, leaves or drains is hot for reasons that no new pod cures.
func hotspot(t policy.Thresholds, nodes []load.Node) bool {
	for i := range nodes {
		n := &nodes[i]
		if n.State == fleet.Serving && (n.CPU > t.HotspotCPU || n.Memory > t.HotspotMemory) {
			return true
		}
	}
	return false
}

// pressed says that slowness has a cause which more room would cure.
func pressed(t policy.Thresholds, in decision.Inputs) bool {
	return in.CPU > t.HighPressure || in.Memory > t.HighPressure
}

func moderate(t policy.Thresholds, in decision.Inputs) bool {
	return in.CPU > t.ModerateCPU && in.Memory > t.ModerateMemory &&
		in.P95Latency > t.ModerateLatency && in.InboxLag > t.ModerateLag
}
