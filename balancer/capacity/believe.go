package capacity

import (
	"math"

	"github.com/tidegate/tidegate/balancer/policy"
)

const (
	// mostBase is the largest part of the ceiling that a pod can be believed to spend on nothing.
	mostBase = 0.7
	// visible is the least part of a pod that its load must have cost to be told from nothing.
	visible = 0.02
	// moved is the least change of load, against its mean, that shows what load costs.
	moved = 0.02
	// explained is the least part of what the load does to the use of a pod that must not be noise.
	explained = 0.5
	// farOff is the most by which the cost of load may be wrong, as one standard error.
	farOff = 0.2
	// independent is how many seconds of readings tell as much as one reading that knows nothing of the others.
	independent = 10
)

// Believe is the model that the fit teaches, where it can be believed; a dimension where it cannot keeps what was believed last,
// and the prior before anything was.
//
// A fit is believed when it was taught long enough, load moved meanwhile so that its cost can be told from the base's, the
// cost is known well and explains what was seen, the base is one that a pod can have, and capacity did not jump.
func (f *Fit) Believe(p policy.Policy, last Model) Model {
	prior := Prior(p)
	if !last.LearnedCPU {
		last.CPU = prior.CPU
	}
	if !last.LearnedMemory {
		last.Memory = prior.Memory
	}
	if !p.Learn.Capacity {
		return prior
	}
	if f.X[0] < p.Learn.CapacityTeaching.Seconds()*taughtEnough {
		return last
	}
	if c, ok := f.believe(p, &f.CPU, prior.CPU, p.CPUCeiling, last.CPU, last.LearnedCPU); ok {
		last.CPU, last.LearnedCPU = c, true
	}
	if c, ok := f.believe(p, &f.Memory, prior.Memory, p.MemoryCeiling, last.Memory, last.LearnedMemory); ok {
		last.Memory, last.LearnedMemory = c, true
	}
	return last
}

// taughtEnough makes room for what is forgotten while teaching goes on.
const taughtEnough = 0.95

func (f *Fit) believe(p policy.Policy, t *Taught, prior Cost, ceiling float64, last Cost, learned bool) (Cost, bool) {
	c, noise, ok := f.solve(t, prior)
	if !ok || c.Base > mostBase*ceiling || Validate(Model{CPU: c}) != nil {
		return Cost{}, false
	}
	mean, variance := f.index(c)
	switch {
	case !(mean >= visible),
		!(variance >= moved*moved*mean*mean),
		!(noise <= (1-explained)*variance),
		!(noise <= farOff*farOff*variance*f.X[0]/independent):
		return Cost{}, false
	}
	if learned {
		was, _ := f.index(last)
		ratio := (ceiling - c.Base) / mean * was / (ceiling - last.Base)
		if !(ratio <= p.Learn.CapacityJump && ratio >= 1/p.Learn.CapacityJump) {
			return Cost{}, false
		}
	}
	return c, true
}

// index is what the load of the taught nodes costs by a model, above the base: its mean and its variance.
func (f *Fit) index(c Cost) (mean, variance float64) {
	theta := [regressors]float64{0, c.PerClient, c.PerMessage, c.PerHandshake}
	for i := one + 1; i < regressors; i++ {
		mean += theta[i] * f.x(one, i) / f.X[0]
		for j := one + 1; j < regressors; j++ {
			variance += theta[i] * theta[j] * f.x(i, j) / f.X[0]
		}
	}
	return mean, max(0, variance-mean*mean)
}

// x is the sum of products of two regressors.
func (f *Fit) x(i, j int) float64 {
	if i > j {
		i, j = j, i
	}
	// The upper triangle row by row: row i begins after the longer rows above it.
	return f.X[i*(2*regressors-i+1)/2+j-i]
}

// pull is how strongly each regressor is held to its prior, in seconds of teaching: what load cannot tell apart goes to
// clients first, to messages next, and to a base or to handshakes only where nothing else explains it.
var pull = [regressors]float64{one: 9, clients: 0.1, messages: 0.5, handshakes: 300}

// solve is the ridge regression of what was used on the load, with no coefficient below zero; noise is the mean square of what it
// leaves unexplained.
func (f *Fit) solve(t *Taught, prior Cost) (c Cost, noise float64, ok bool) {
	var s system
	var scale, theta0 [regressors]float64
	theta0 = [regressors]float64{prior.Base, prior.PerClient, prior.PerMessage, prior.PerHandshake}
	for i := range regressors {
		scale[i] = math.Sqrt(f.x(i, i) / f.X[0])
		if scale[i] < nothing {
			// Never seen: it costs what it was thought to.
			s.fixed[i] = true
			scale[i] = 1
		}
	}
	for i := range regressors {
		for j := range regressors {
			s.a[i][j] = f.x(i, j) / f.X[0] / scale[i] / scale[j]
		}
		s.b[i] = t.XY[i] / f.X[0] / scale[i]
		theta0[i] *= scale[i]
		lambda := pull[i] / f.X[0]
		s.a[i][i] += lambda
		s.b[i] += lambda * theta0[i]
	}
	s.theta = theta0
	if !s.nonNegative() {
		return Cost{}, 0, false
	}
	for i := range regressors {
		s.theta[i] /= scale[i]
	}
	c = Cost{Base: s.theta[one], PerClient: s.theta[clients], PerMessage: s.theta[messages], PerHandshake: s.theta[handshakes]}
	return c, f.noise(t, s.theta), true
}

// nothing is a load per node that is none.
const nothing = 1e-9

func (f *Fit) noise(t *Taught, theta [regressors]float64) float64 {
	sum := t.YY
	for i := range regressors {
		sum -= 2 * theta[i] * t.XY[i]
		for j := range regressors {
			sum += theta[i] * theta[j] * f.x(i, j)
		}
	}
	return max(0, sum/f.X[0])
}
