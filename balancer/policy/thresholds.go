package policy

import "time"

// Thresholds are the limits of the urgency table. Averages are over serving nodes.
type Thresholds struct {
	CriticalCPU     float64       `name:"urgencyCriticalCPU" min:"0" max:"1" unit:"fraction" help:"average CPU above it is critical"`
	CriticalMemory  float64       `name:"urgencyCriticalMemory" min:"0" max:"1" unit:"fraction" help:"average memory above it is critical"`
	HotspotCPU      float64       `name:"urgencyHotspotCPU" min:"0" max:"1" unit:"fraction" help:"one node's CPU above it is critical"`
	HotspotMemory   float64       `name:"urgencyHotspotMemory" min:"0" max:"1" unit:"fraction" help:"one node's memory above it is critical"`
	HighLatency     time.Duration `name:"urgencyHighLatency" min:"1ms" max:"10m" help:"average p95 latency above it is high, under pressure"`
	HighLag         time.Duration `name:"urgencyHighLag" min:"1ms" max:"10m" help:"average inbox lag above it is high, under pressure"`
	HighPressure    float64       `name:"urgencyHighPressure" min:"0" max:"1" unit:"fraction" help:"average CPU or memory above it is pressure"`
	ModerateCPU     float64       `name:"urgencyModerateCPU" min:"0" max:"1" unit:"fraction" help:"one of four that together are moderate"`
	ModerateMemory  float64       `name:"urgencyModerateMemory" min:"0" max:"1" unit:"fraction" help:"one of four that together are moderate"`
	ModerateLatency time.Duration `name:"urgencyModerateLatency" min:"1ms" max:"10m" help:"one of four that together are moderate"`
	ModerateLag     time.Duration `name:"urgencyModerateLag" min:"1ms" max:"10m" help:"one of four that together are moderate"`
}

func defaultThresholds() Thresholds {
	return Thresholds{
		CriticalCPU: 0.70, CriticalMemory: 0.75,
		HotspotCPU: 0.85, HotspotMemory: 0.90,
		HighLatency: 500 * time.Millisecond, HighLag: 500 * time.Millisecond, HighPressure: 0.50,
		ModerateCPU: 0.60, ModerateMemory: 0.65,
		ModerateLatency: 300 * time.Millisecond, ModerateLag: 300 * time.Millisecond,
	}
}

// Steps are the constants of table mode: how far a step goes out, and when one goes in.
type Steps struct {
	Critical int `name:"tableCriticalStep" min:"0" max:"1000" unit:"nodes" help:"nodes added at critical urgency"`
	High     int `name:"tableHighStep" min:"0" max:"1000" unit:"nodes" help:"nodes added at high urgency"`
	Moderate int `name:"tableModerateStep" min:"0" max:"1000" unit:"nodes" help:"nodes added at moderate urgency"`
	Most     int `name:"tableMostStep" min:"1" max:"1000" unit:"nodes" help:"the most nodes added in one step"`

	OutWait      time.Duration `name:"tableOutWait" min:"100ms" max:"24h" help:"least time between a step and the next one out"`
	GrowthWindow time.Duration `name:"tableGrowthWindow" min:"100ms" max:"24h" help:"a scale-out younger than this counts for growth and streak"`
	InWait       time.Duration `name:"tableInWait" min:"100ms" max:"24h" help:"least time between two steps in"`

	WeightCPU         float64 `name:"tableWeightCPU" min:"0" max:"1" unit:"fraction" help:"weight of CPU in the growth of load"`
	WeightMemory      float64 `name:"tableWeightMemory" min:"0" max:"1" unit:"fraction" help:"weight of memory in the growth of load"`
	WeightMessages    float64 `name:"tableWeightMessages" min:"0" max:"1" unit:"fraction" help:"weight of messages/s in the growth of load"`
	WeightConnections float64 `name:"tableWeightConnections" min:"0" max:"1" unit:"fraction" help:"weight of connections in the growth of load"`
	WeightLatency     float64 `name:"tableWeightLatency" min:"0" max:"1" unit:"fraction" help:"weight of p95 latency in the growth of load"`
	RatioCap          float64 `name:"tableRatioCap" min:"1" max:"100" unit:"factor" help:"the most that latency's growth counts, and any growth from nothing"`
	GrowthFast        float64 `name:"tableGrowthFast" min:"1" max:"100" unit:"factor" help:"growth above it adds two nodes"`
	GrowthSlow        float64 `name:"tableGrowthSlow" min:"1" max:"100" unit:"factor" help:"growth above it adds one node"`

	QuietCPU     float64       `name:"tableQuietCPU" min:"0" max:"1" unit:"fraction" help:"average CPU below it is quiet"`
	QuietMemory  float64       `name:"tableQuietMemory" min:"0" max:"1" unit:"fraction" help:"average memory below it is quiet"`
	QuietLatency time.Duration `name:"tableQuietLatency" min:"1ms" max:"10m" help:"average p95 latency below it is quiet"`
	QuietLag     time.Duration `name:"tableQuietLag" min:"1ms" max:"10m" help:"average inbox lag below it is quiet"`
	StaysCPU     float64       `name:"tableStaysCPU" min:"0" max:"1" unit:"fraction" help:"CPU of those that stay must be below it"`
	StaysMemory  float64       `name:"tableStaysMemory" min:"0" max:"1" unit:"fraction" help:"memory of those that stay must be below it"`
}

func defaultSteps() Steps {
	return Steps{
		Critical: 3, High: 2, Moderate: 1, Most: 5,
		OutWait: time.Minute, GrowthWindow: 3 * time.Minute, InWait: 5 * time.Minute,
		WeightCPU: 0.3, WeightMemory: 0.3, WeightMessages: 0.2, WeightConnections: 0.1, WeightLatency: 0.1,
		RatioCap: 2, GrowthFast: 1.5, GrowthSlow: 1.2,
		QuietCPU: 0.20, QuietMemory: 0.25,
		QuietLatency: 250 * time.Millisecond, QuietLag: 250 * time.Millisecond,
		StaysCPU: 0.50, StaysMemory: 0.55,
	}
}
