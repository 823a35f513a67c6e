package policy

import "time"

// Learning are the constants of what a fleet teaches: what a client costs, how far a trend is believed, how wrong forecasts are,
// and how long pods take to start. Each can be switched off; its prior then stands for ever.
type Learning struct {
	Capacity         bool          `name:"learnCapacity" help:"learn from heartbeats what a client and a message cost; without it declared capacity and measured sums speak"`
	CapacityTeaching time.Duration `name:"capacityTeaching" min:"1s" max:"24h" help:"a fit is believed once it was taught for this long"`
	CapacityHalfLife time.Duration `name:"capacityHalfLife" min:"1m" max:"720h" help:"what a fleet taught this long ago counts half"`
	CapacityJump     float64       `name:"capacityJump" min:"1.1" max:"100" unit:"factor" help:"a fit with a capacity this much larger or smaller than the believed one is not believed"`
	CapacityDoubt    float64       `name:"capacityDoubt" min:"0" max:"1" unit:"fraction" help:"measured load speaks for itself where it is above the learned model by more than this"`
	TeachUptime      time.Duration `name:"teachUptime" min:"1s" max:"1h" help:"a node younger than this does not teach"`
	TeachCPU         float64       `name:"teachCPU" min:"0.05" max:"1" unit:"fraction" help:"a node above this CPU does not teach"`

	Trend         bool          `name:"believeTrend" help:"carry the trend of clients forward over the lead time; without it the level is the forecast"`
	TrendHalfLife time.Duration `name:"trendHalfLife" min:"1m" max:"720h" help:"a trend that came true or not this long ago counts half"`
	TrendExtreme  float64       `name:"trendExtreme" min:"0.05" max:"10" unit:"fraction" help:"a trend that adds this part of the level within the lead time is believed whatever came of others"`

	Margin         bool          `name:"learnMargin" help:"learn the margin from how wrong forecasts were; without it the beginning margin stays"`
	MarginQuantile float64       `name:"marginQuantile" min:"0.5" max:"0.9999" unit:"fraction" help:"the part of all forecasts that the margin must have covered"`
	MarginHalfLife time.Duration `name:"marginHalfLife" min:"1m" max:"720h" help:"a forecast of this long ago counts half"`
	MarginTrust    time.Duration `name:"marginTrust" min:"1m" max:"720h" help:"the learned margin has replaced the beginning one after this long; nothing is believed in the first eighth"`
	MarginLeast    float64       `name:"marginLeast" min:"1" max:"5" unit:"factor" help:"the least margin that is learned"`
	MarginMost     float64       `name:"marginMost" min:"1" max:"5" unit:"factor" help:"the largest margin that is learned"`

	NodeCPU float64 `name:"marginNodeCPU" min:"0.05" max:"1" unit:"fraction" help:"while a node of a full fleet is above this, the margin is taken for too small; 1 looks at the mean alone"`

	StartTimes    bool          `name:"learnStartTime" help:"learn from pods how long they take to serve; without it startTime stands"`
	StartTimeMost time.Duration `name:"startTimeMost" min:"1s" max:"1h" help:"no longer start than this is looked ahead for"`
}

// Storm are the constants of the storm guard: clients that fall away all at once come back all at once.
type Storm struct {
	Guard  bool          `name:"stormGuard" trigger:"yes" help:"take a sudden fall of clients for an outage, and keep the nodes for their return"`
	Fall   float64       `name:"stormFall" min:"0.01" max:"1" unit:"fraction" help:"clients that fall by more than this within stormWindow, and by that much more than in the window before, are an outage"`
	Window time.Duration `name:"stormWindow" min:"1s" max:"1h" help:"how quick a fall must be to be an outage"`
	Hold   time.Duration `name:"stormHold" min:"1s" max:"24h" help:"how long after such a fall no node leaves and no trend is believed, unless the clients are back before; shorter where they did not come back from earlier falls"`
}

// Settling are the constants that keep a fleet from taking back what it has just done.
type Settling struct {
	Learn      bool          `name:"learnScaleIn" help:"ask for more room before a node leaves where earlier scale-ins were soon taken back, and look scaleInWorth ahead while clients rise"`
	Worth      time.Duration `name:"scaleInWorth" min:"1s" max:"24h" help:"a node leaves only if it is expected not to be needed again for this long; a scale-in taken back sooner was not worth its moves"`
	HalfLife   time.Duration `name:"scaleInHalfLife" min:"1m" max:"720h" help:"a scale-in of this long ago counts half in that"`
	Hysteresis float64       `name:"scaleInSpare" min:"0" max:"0.5" unit:"fraction" help:"where every scale-in is taken back, hysteresis is lower by this"`
}

func defaultLearning() Learning {
	return Learning{
		Capacity: true, CapacityTeaching: 3 * time.Minute, CapacityHalfLife: time.Hour, CapacityJump: 3, CapacityDoubt: 0.05,
		TeachUptime: time.Minute, TeachCPU: 0.97,
		Trend: true, TrendHalfLife: time.Hour, TrendExtreme: 0.5,
		Margin: true, MarginQuantile: 0.99, MarginHalfLife: 12 * time.Hour, MarginTrust: 2 * time.Hour, MarginLeast: 1.09, MarginMost: 1.3,
		NodeCPU:    0.9,
		StartTimes: true, StartTimeMost: 3 * time.Minute,
	}
}

func defaultStorm() Storm {
	return Storm{Guard: true, Fall: 0.15, Window: 3 * time.Minute, Hold: 15 * time.Minute}
}

func defaultSettling() Settling {
	return Settling{Learn: true, Worth: 15 * time.Minute, HalfLife: 2 * time.Hour, Hysteresis: 0.12}
}
