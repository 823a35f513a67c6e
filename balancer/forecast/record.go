package forecast

import (
	"errors"
	"math"

	"github.com/tidegate/tidegate/balancer/policy"
)

// Record is how far trends came true lately. Its zero value believes every trend.
type Record struct {
	// Promised and Came sum what trends said would come and what came, as parts of the level of their time; what is long ago
	// counts less.
	Promised float64 `json:"promised,omitempty"`
	Came     float64 `json:"came,omitempty"`
}

const (
	// credit is what a record begins with, as a promise that was kept.
	credit = 0.5
	// windfall is how many times its promise a trend may have kept: one lucky hour does not pay for all that follow.
	windfall = 1.5
	// mostPromised is above every sum.
	mostPromised = 1e9
)

// Add is the record after a promise fell due: the level of its time, what should have come on top of it, and what is there now. It
// also forgets a little, for as many seconds as have passed since the last. A promise of nothing only forgets.
func (r Record) Add(p policy.Policy, level, promised, now, seconds float64) Record {
	if seconds > 0 {
		keep := math.Exp2(-seconds / p.Learn.TrendHalfLife.Seconds())
		r.Promised, r.Came = keep*r.Promised, keep*r.Came
	}
	part, kept := promised/level, (now-level)/promised
	// Written so that what is not a number adds nothing.
	if !(level > 0 && part > 0 && now >= 0 && math.Abs(kept) < math.MaxFloat64) {
		return r
	}
	// A trend that is believed anyway does not outweigh a day of small ones.
	part = min(part, p.Learn.TrendExtreme)
	r.Promised += part
	r.Came += part * min(windfall, max(0, kept))
	return r
}

// Belief is the part of a usual trend that is believed, 0 to 1: as far as such trends came true.
func (r Record) Belief(p policy.Policy) float64 {
	if !p.Learn.Trend {
		return 0
	}
	return min(1, (credit+r.Came)/(credit+r.Promised))
}

// Trust is the part of one trend that is believed, given the belief in usual ones and what it adds within the lead time, as a
// part of the level: fully when that is extreme.
func Trust(p policy.Policy, belief, adds float64) float64 {
	if !p.Learn.Trend {
		return 0
	}
	// From half of an extreme on the belief grows with what is at stake. Written so that NaN adds nothing.
	stake := 2*adds/p.Learn.TrendExtreme - 1
	if !(stake > 0) {
		return belief
	}
	return belief + (1-belief)*min(1, stake)
}

// Validate refuses sums that no trends make.
func (r Record) Validate() error {
	if !(r.Promised >= 0 && r.Promised <= mostPromised && r.Came >= 0 && r.Came <= windfall*r.Promised*(1+1e-9)) {
		return errors.New("trends came true more often than they were promised")
	}
	return nil
}
