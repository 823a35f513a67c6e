package backtest

import (
	"fmt"
	"math"
	"strings"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest/rival"
	"github.com/tidegate/tidegate/internal/backtest/world"
)

// The rows.
const (
	RowHPA         = "hpa-cpu"
	RowConnections = "keda-connections"
	RowBoth        = "keda-both"
	RowKnative     = "knative"
	RowTable       = "table"
	RowCount       = "count"
	RowSticky      = "count-sticky"
	RowOracle      = "oracle"
)

// RowNames lists the rows in the order of a table.
func RowNames() []string {
	return []string{RowHPA, RowConnections, RowBoth, RowKnative, RowTable, RowCount, RowSticky, RowOracle}
}

const (
	// shards is how many a movable fleet has, the default of a fleet's inbox.
	shards = 1024
	// targetCPU is what teams give an HPA, and targetFill the CPU at which a pod has as many clients as they tell KEDA: a little below what the oracle fills.
	targetCPU, targetFill = 0.70, 0.74
	// leastMax is the least maxReplicas; spare how many times the pods of the peak it is.
	leastMax, spare = 50, 2.5
)

// setup is one row in one world.
type setup struct {
	world  world.Options
	policy func() rival.Policy
}

// plan says how a row is run. The names of rows are valid.
func (o Options) setup(row string, w world.Options) setup {
	targets := o.targets()
	s := setup{world: w}
	switch row {
	case RowHPA:
		s.policy = func() rival.Policy { return rival.NewCPU(targets) }
	case RowConnections:
		s.policy = func() rival.Policy { return rival.NewKEDA(targets, false) }
	case RowBoth:
		s.world.Choice = world.Fewest
		s.policy = func() rival.Policy { return rival.NewKEDA(targets, true) }
	case RowKnative:
		s.policy = func() rival.Policy { return rival.NewKnative(targets) }
	case RowSticky:
		s.world.Choice = world.Room
		s.policy = func() rival.Policy { return rival.NewTidegate(o.rules) }
	case RowTable:
		p := o.rules
		p.Kind = policy.Table
		s.world.Shards = shards
		s.policy = func() rival.Policy { return rival.NewTidegate(p) }
	case RowCount:
		s.world.Shards = shards
		s.policy = func() rival.Policy { return rival.NewTidegate(o.rules) }
	}
	return s
}

// targets are what a team that load-tested its servers gives the autoscalers.
func (o Options) targets() rival.Targets {
	return rival.Targets{
		Min: o.rules.MinReplicas, Max: o.rules.MaxReplicas, CPU: targetCPU,
		Connections: math.Round(world.Usual().Carries(targetFill) * o.DeclaredCapacity),
	}
}

// switches are the settings that take a rule away from our rows.
func switches() map[string]string {
	return map[string]string{
		"learning": `"learnCapacity": false`, "trend": `"believeTrend": false`,
		"margin": `"learnMargin": false`, "storm": `"stormGuard": false`,
		"weights": `"weightSpread": 0`, "moves": `"hotspotRate": 0`,
	}
}

// Ablations lists what can be taken away.
func Ablations() []string {
	return []string{"learning", "trend", "margin", "weights", "moves", "storm"}
}

// policy is that of our own rows: it fits the world (its bounds are those of the fleet, and capacity is declared as it is), as
// the caller changed it, without what is ablated.
func (o Options) policy() (policy.Policy, error) {
	usual, p := world.Usual(), policy.Default()
	p.MaxReplicas = max(leastMax, int(math.Ceil(spare*o.PeakClients/usual.Carries(targetFill))))
	p.ConnectionsPerPod = math.Round(usual.Carries(p.CPUCeiling) * o.DeclaredCapacity)
	if o.Change != nil {
		var err error
		if p, err = o.Change(p); err != nil {
			return p, err
		}
	}
	return Without(p, o.Ablate)
}

// Without is a policy from which parts are taken away, by the names of Ablations.
func Without(p policy.Policy, ablate []string) (policy.Policy, error) {
	var off []string
	for _, name := range ablate {
		setting, ok := switches()[name]
		if !ok {
			return p, fmt.Errorf("ablation %q is unknown: want %s", name, strings.Join(Ablations(), ", "))
		}
		off = append(off, setting)
	}
	if len(off) == 0 {
		return p, nil
	}
	return policy.Load(strings.NewReader("{"+strings.Join(off, ",")+"}"), p)
}
