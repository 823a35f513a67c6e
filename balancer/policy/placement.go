package policy

import "time"

// Placement are the constants of where clients sit: how far weights differ, when a hot node gives shards away, and up to where
// a node takes newcomers.
type Placement struct {
	WeightSpread    float64       `name:"weightSpread" min:"0.01" max:"0.9" zero:"all nodes weigh alike" unit:"fraction" help:"the most that a node's weight may be below that of a usual node"`
	HotspotCPU      float64       `name:"hotspotCPU" min:"0.05" max:"1" unit:"fraction" help:"a node above this CPU gives shards away"`
	HotspotMemory   float64       `name:"hotspotMemory" min:"0.05" max:"1" unit:"fraction" help:"a node above this memory gives shards away"`
	HotspotMean     float64       `name:"hotspotMean" min:"0.05" max:"1" unit:"fraction" help:"no node gives shards away for heat while the fleet's mean is not below it"`
	HotspotCool     float64       `name:"hotspotCool" min:"0.05" max:"1" unit:"fraction" help:"a hot node gives until it is at this load; nobody who takes passes it"`
	HotspotRate     float64       `name:"hotspotRate" min:"0.1" max:"1000000" zero:"no shard leaves a hot node for heat" unit:"clients/s" help:"the most clients that one hot node gives away"`
	HeatRest        time.Duration `name:"heatRest" min:"1s" max:"24h" help:"a shard that moved for heat stays for this long"`
	AdmissionCPU    float64       `name:"admissionCPU" min:"0.05" max:"1" zero:"nodes go by their own limits" unit:"fraction" help:"CPU up to which a node takes clients it does not know, by the learned capacity"`
	AdmissionMemory float64       `name:"admissionMemory" min:"0.05" max:"1" zero:"nodes go by their own limits" unit:"fraction" help:"memory up to which a node takes clients it does not know, by the learned capacity"`
}

func defaultPlacement() Placement {
	return Placement{
		WeightSpread: 0.75,
		HotspotCPU:   0.86, HotspotMemory: 0.88, HotspotMean: 0.80, HotspotCool: 0.82, HotspotRate: 100, HeatRest: 10 * time.Minute,
		// Above what a node's garbage collector lets pile up before it works hard (0.9 of the limit), or a fleet at rest would
		// refuse everybody, and below where a node refuses all by itself (0.95).
		AdmissionCPU: 0.88, AdmissionMemory: 0.94,
	}
}

// heatGap is how far the hotspot's limits must be below the admission's: a node that its own limit keeps from filling up must
// still count as hot, or nothing would ever relieve it.
const heatGap = 0.02

// rules are the relations that must hold between the placement's settings.
func (p Placement) rules() []rule {
	const dust = 1e-9
	below := func(hot, admission float64) bool { return admission <= 0 || hot <= admission-heatGap+dust }
	const problem, fix = "is not 0.02 below", "lower it or raise the admission's, or no node that is full would ever be hot"
	return []rule{
		{"hotspotCPU", "admissionCPU", below(p.HotspotCPU, p.AdmissionCPU), p.HotspotCPU, p.AdmissionCPU, problem, fix},
		{"hotspotMemory", "admissionMemory", below(p.HotspotMemory, p.AdmissionMemory), p.HotspotMemory, p.AdmissionMemory, problem, fix},
	}
}
