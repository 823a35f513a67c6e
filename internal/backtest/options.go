package backtest

import (
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest/trace"
)

// Options say what to run. The zero value of each field is its default.
type Options struct {
	// Synthetic names built-in traces; all of them when neither it nor Recorded names any.
	Synthetic []string
	// Recorded are traces that were read from files.
	Recorded []trace.Trace
	// Rows names the policies, in the order of the results; all of them by default.
	Rows []string
	// Seeds of the runs; three by default. A run is the same for the same trace, row and seed.
	Seeds []uint64
	// PeakClients scales the synthetic traces; 120,000 by default.
	PeakClients float64
	// Change makes our rows' policy of the one that fits the world; optional.
	Change func(fitted policy.Policy) (policy.Policy, error)
	// Ablate takes parts away from our own rows: learning, trend, margin, weights, moves, storm.
	Ablate []string
	// NeverStart lets no pod start that is created after the first.
	NeverStart bool
	// DeclaredCapacity is what our rows and KEDA believe a pod can carry, over what it can; 1 by default.
	DeclaredCapacity float64
	// Workers is how many runs go at once; one a core by default.
	Workers int
	// Points is how long each Series is; 600 by default.
	Points int
	// Progress is called after each run, from one goroutine at a time; optional.
	Progress func(done, total int)

	// rules are our rows' policy, worked out.
	rules policy.Policy
}
