// Package margin learns the factor that a forecast needs: how much larger than forecast the real need has been, at most, in
// nearly all of the time lately. The real need is also that of hot nodes: a fleet whose nodes differ
// needs more of them.
package margin

import (
	"errors"
	"math"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
)

const (
	// bins of the histogram: the first holds what was not above its forecast, the others are as wide as each other in logarithms.
	bins = 64
	// widest is where the last bin begins, and the largest ratio that teaches.
	widest = 1.6
	// unripe is the part of MarginTrust in which nothing is believed yet.
	unripe = 8
	// mostWeight is above every weight, in seconds.
	mostWeight = 1e10
)

var width = math.Log(widest) / (bins - 2)

// Errors is a forgetting histogram of real over forecast, weighted in seconds. Its zero value has seen nothing.
type Errors struct {
	Bins []float64 `json:"bins,omitempty"`
	// Watched is the weight of all bins.
	Watched float64 `json:"watched,omitempty"`
	// Quantile is the part's bound that MarginQuantile asks for; 0 before anything was seen.
	Quantile float64 `json:"quantile,omitempty"`
}

// Add is the histogram with one more forecast that came true, or not: the real need over the forecast one, for so many seconds.
// What is no ratio is left out, and so is what no margin could have covered: a flash crowd says nothing of usual days. The
// histogram itself stays as it was.
func (e Errors) Add(p policy.Policy, ratio, seconds float64) Errors {
	if !(ratio >= 0 && ratio <= widest) || !(seconds > 0) {
		return e
	}
	keep := math.Exp2(-seconds / p.Learn.MarginHalfLife.Seconds())
	next := Errors{Bins: make([]float64, bins)}
	for i, w := range e.Bins {
		next.Bins[i] = keep * w
		next.Watched += next.Bins[i]
	}
	next.Bins[bin(ratio)] += seconds
	next.Watched += seconds
	next.Quantile = next.quantile(p.Learn.MarginQuantile)
	return next
}

func bin(ratio float64) int {
	if ratio <= 1 {
		return 0
	}
	return min(bins-1, 1+int(math.Log(ratio)/width))
}

// quantile is the upper bound of the bin up to which this part of the weight lies.
func (e Errors) quantile(part float64) float64 {
	beyond := (1 - part) * e.Watched
	for i := bins - 1; i > 0; i-- {
		if beyond -= e.Bins[i]; beyond < 0 {
			return math.Exp(width * float64(i))
		}
	}
	return 1
}

// Margin is the factor to size by: the policy's at the beginning, and the learned one in its place the longer was watched.
func (e Errors) Margin(p policy.Policy) float64 {
	trust := p.Learn.MarginTrust.Seconds()
	if !p.Learn.Margin || e.Watched < trust/unripe {
		return p.Margin
	}
	learned := min(max(e.Quantile, p.Learn.MarginLeast), p.Learn.MarginMost)
	return p.Margin + (learned-p.Margin)*min(1, e.Watched/trust)
}

// Rests is how much of watching the margin rests on.
func (e Errors) Rests() time.Duration {
	return time.Duration(min(e.Watched, mostWeight/2) * float64(time.Second)).Round(time.Second)
}

// Validate refuses a histogram that nothing can have filled.
func (e Errors) Validate() error {
	if len(e.Bins) != 0 && len(e.Bins) != bins {
		return errors.New("margin has another number of bins")
	}
	sum := 0.0
	for _, w := range e.Bins {
		if !(w >= 0 && w <= mostWeight) {
			return errors.New("margin has a bin with a weight that no time has")
		}
		sum += w
	}
	if !(math.Abs(sum-e.Watched) <= 1e-6*max(1, sum)) {
		return errors.New("margin was not watched for as long as its bins say")
	}
	if !(e.Quantile >= 0 && e.Quantile <= 2*widest) {
		return errors.New("margin has a quantile outside its bins")
	}
	return nil
}
