// Package policy holds every constant of the rules that size a fleet, reads them from a trigger's metadata
// and from the balancer's policy file, and refuses a wrong one in words.
package policy

import "time"

// Kind is the rule that turns load into a replica count.
type Kind string

// The kinds of policy.
const (
	// Count sizes a fleet absolutely, from what it will need by the time a new pod can serve.
	Count Kind = "count"
	// Table runs the urgency table alone, in steps.
	Table Kind = "table"
)

// Mode says whether the answer is meant to be acted on.
type Mode string

// The modes of a policy.
const (
	// Act answers KEDA with the decided count.
	Act Mode = "act"
	// Shadow decides and shows, but changes nothing and nominates nobody.
	Shadow Mode = "shadow"
)

// Policy is every constant of the rules. It is a comparable value: two equal policies decide alike.
//
// The struct tags are the reference that users read: name is the key in metadata or file, trigger marks the keys that a
// trigger's metadata may hold, min and max are inclusive, zero tells what 0 means where it is allowed, unit and help are words.
type Policy struct {
	// What a trigger's metadata may set.

	FleetName         string        `name:"fleet" trigger:"yes" help:"name of the Deployment; empty is the ScaledObject's name"`
	Kind              Kind          `name:"policy" trigger:"yes" oneof:"count,table" help:"count sizes the fleet absolutely; table runs the urgency table alone"`
	Mode              Mode          `name:"mode" trigger:"yes" oneof:"act,shadow" help:"shadow decides and shows but changes nothing"`
	MinReplicas       int           `name:"minReplicas" trigger:"yes" min:"1" max:"100000" unit:"nodes" help:"the fewest nodes"`
	MaxReplicas       int           `name:"maxReplicas" trigger:"yes" min:"1" max:"100000" unit:"nodes" help:"the most nodes"`
	ConnectionsPerPod float64       `name:"connectionsPerPod" trigger:"yes" min:"1" max:"10000000" zero:"unknown" unit:"clients" help:"clients with which one node is at its ceiling; the prior until the cost of a client is learned, and a limit while CPU or memory cannot be seen"`
	MessagesPerPod    float64       `name:"messagesPerPod" trigger:"yes" min:"1" max:"1000000000" zero:"unknown" unit:"messages/s" help:"messages a second with which one node is at its ceiling; a prior and a limit like connectionsPerPod"`
	CPUCeiling        float64       `name:"cpuCeiling" trigger:"yes" min:"0.05" max:"1" unit:"fraction" help:"CPU that a node is meant to reach and not to pass"`
	MemoryCeiling     float64       `name:"memoryCeiling" trigger:"yes" min:"0.05" max:"1" unit:"fraction" help:"memory that a node is meant to reach and not to pass"`
	DisruptionBudget  int           `name:"disruptionBudget" trigger:"yes" min:"1" max:"100000" zero:"an eighth of the fleet, at least one" unit:"nodes" help:"the most nodes that leave or drain at once"`
	ScaleInDelay      time.Duration `name:"scaleInDelay" trigger:"yes" min:"1s" max:"24h" help:"a node leaves only when the largest need of this long allows it"`

	// The count's own.

	CPUBase       float64       `name:"cpuBase" min:"0" max:"0.9" unit:"fraction" help:"CPU of a node without clients, until it is learned; a new node takes none of it over"`
	MemoryBase    float64       `name:"memoryBase" min:"0" max:"0.9" unit:"fraction" help:"memory of a node without clients, until it is learned; a new node takes none of it over"`
	ScaleInStep   time.Duration `name:"scaleInStep" min:"100ms" max:"24h" help:"least time between two scale-ins"`
	Hysteresis    float64       `name:"hysteresis" min:"0.1" max:"1" unit:"fraction" help:"a node leaves only while the need is below this part of what would stay"`
	Margin        float64       `name:"margin" min:"1" max:"5" unit:"factor" help:"factor on the forecast for what it misses, until that is learned"`
	LevelWindow   time.Duration `name:"levelWindow" min:"100ms" max:"1h" help:"the level of load is its mean over this long"`
	LevelJump     float64       `name:"levelJump" min:"0.01" max:"10" unit:"fraction" help:"where clients, messages or CPU of the newest quarter of that are above the mean by more than this, the quarter is the level"`
	SlopeShort    time.Duration `name:"slopeShortWindow" min:"1s" max:"1h" help:"the window of the quick trend of clients"`
	SlopeLong     time.Duration `name:"slopeLongWindow" min:"1s" max:"24h" help:"the window of the slow trend of clients"`
	SlopeFit      float64       `name:"slopeFit" min:"0.76" max:"1" unit:"fraction" help:"least share of the variance that a straight line must explain; a jump explains 0.75 at most"`
	ForecastCap   float64       `name:"forecastCap" min:"1" max:"100" unit:"factor" help:"the forecast is at most this times the level"`
	RefusedRetry  time.Duration `name:"refusedRetry" min:"100ms" max:"1h" help:"how long a refused client waits before it tries again; clients refused a second times this are waiting"`
	HPAPeriod     time.Duration `name:"hpaPeriod" min:"100ms" max:"10m" help:"how often the autoscaler looks"`
	StartTime     time.Duration `name:"startTime" min:"100ms" max:"1h" help:"from asking for a pod to its serving, until that is learned"`
	StartTimeout  time.Duration `name:"startTimeout" min:"1s" max:"24h" help:"a pod that starts for longer than this is stuck and no longer waited for"`
	PlacementRoom float64       `name:"placementRoom" min:"0.05" max:"1" unit:"fraction" help:"a node's weight is its room below this load"`

	// What counts as known.

	HeartbeatInterval time.Duration `name:"heartbeatInterval" min:"50ms" max:"1m" help:"how often a node tells its load"`
	StaleHeartbeats   int           `name:"staleHeartbeats" min:"1" max:"1000" unit:"heartbeats" help:"a node that missed this many is stale"`
	StaleQuorum       float64       `name:"staleQuorum" min:"0" max:"1" unit:"fraction" help:"with more than this part of the nodes stale the last decision holds"`
	SilentDeath       time.Duration `name:"silentDeath" min:"100ms" max:"1h" help:"a silent node that still answers its probe is dead after this long"`
	DecisionTTL       time.Duration `name:"decisionTTL" min:"1s" max:"1h" help:"how long a decision stands without fresh data"`

	Urgency Thresholds
	Steps   Steps
	// Placement is where clients sit.
	Placement Placement
	// Learn is what a fleet teaches, Storm what a sudden fall of clients means, Settle what keeps it from going back and forth.
	Learn  Learning
	Storm  Storm
	Settle Settling
}

// Default is the policy of a fleet about which nothing is said.
func Default() Policy {
	return Policy{
		Kind:              Count,
		Mode:              Act,
		MinReplicas:       2,
		MaxReplicas:       50,
		CPUCeiling:        0.87,
		MemoryCeiling:     0.85,
		ScaleInDelay:      300 * time.Second,
		ScaleInStep:       30 * time.Second,
		Hysteresis:        0.93,
		Margin:            1.1,
		LevelWindow:       20 * time.Second,
		LevelJump:         0.1,
		SlopeShort:        60 * time.Second,
		SlopeLong:         300 * time.Second,
		SlopeFit:          0.8,
		ForecastCap:       2.5,
		RefusedRetry:      5 * time.Second,
		HPAPeriod:         15 * time.Second,
		StartTime:         30 * time.Second,
		StartTimeout:      10 * time.Minute,
		PlacementRoom:     0.80,
		HeartbeatInterval: time.Second,
		StaleHeartbeats:   3,
		StaleQuorum:       0.25,
		SilentDeath:       15 * time.Second,
		DecisionTTL:       90 * time.Second,
		Urgency:           defaultThresholds(),
		Steps:             defaultSteps(),
		Placement:         defaultPlacement(),
		Learn:             defaultLearning(),
		Storm:             defaultStorm(),
		Settle:            defaultSettling(),
	}
}

// LeadTime is how far ahead the count must look: until a pod asked for now can serve.
func (p Policy) LeadTime() time.Duration { return p.HPAPeriod + p.StartTime }

// StaleAfter is the age from which a heartbeat no longer counts as fresh.
func (p Policy) StaleAfter() time.Duration {
	return time.Duration(p.StaleHeartbeats) * p.HeartbeatInterval
}

// budgetPart is the part of a fleet that may leave at once when no budget is set.
const budgetPart = 8

// Budget is how many nodes of a fleet of this size may leave or drain at once.
func (p Policy) Budget(nodes int) int {
	switch {
	case p.Kind == Table:
		return 1
	case p.DisruptionBudget > 0:
		return p.DisruptionBudget
	default:
		return max(1, nodes/budgetPart)
	}
}
