package capacity

import "math"

// system is a small set of normal equations a theta = b. What is fixed keeps the theta that it has.
type system struct {
	a     [regressors][regressors]float64
	b     [regressors]float64
	theta [regressors]float64
	fixed [regressors]bool
}

// nonNegative solves for the theta without a negative part: what comes out below zero is fixed there, the lowest first, and the
// rest solved anew. It fails where the equations tell nothing.
func (s *system) nonNegative() bool {
	for range regressors + 1 {
		if !s.solve() {
			return false
		}
		lowest := -1
		for i, x := range s.theta {
			if !s.fixed[i] && x < 0 && (lowest < 0 || x < s.theta[lowest]) {
				lowest = i
			}
		}
		if lowest < 0 {
			return true
		}
		s.fixed[lowest], s.theta[lowest] = true, 0
	}
	return false
}

// solve finds the free parts of theta by Cholesky's decomposition.
func (s *system) solve() bool {
	a, b := s.without()
	var l [regressors][regressors]float64
	for r := range regressors {
		for c := range r + 1 {
			sum := a[r][c] //nolint:gosec // G602 does not see that rows and columns stay below regressors.
			for k := range c {
				sum -= l[r][k] * l[c][k] //nolint:gosec // G602 does not see that rows and columns stay below regressors.
			}
			if c < r {
				l[r][c] = sum / l[c][c] //nolint:gosec // G602 does not see that rows and columns stay below regressors.
				continue
			}
			// Written so that NaN fails.
			if !(sum > tiny) {
				return false
			}
			l[r][r] = math.Sqrt(sum) //nolint:gosec // G602 does not see that rows and columns stay below regressors.
		}
	}
	for r := range regressors {
		for k := range r {
			b[r] -= l[r][k] * b[k]
		}
		b[r] /= l[r][r]
	}
	for r := regressors - 1; r >= 0; r-- {
		for k := r + 1; k < regressors; k++ {
			b[r] -= l[k][r] * b[k]
		}
		b[r] /= l[r][r]
	}
	s.theta = b
	return true
}

// without are the equations with what is fixed taken out of the others, and alone in its own.
func (s *system) without() (a [regressors][regressors]float64, b [regressors]float64) {
	a, b = s.a, s.b
	for j, fixed := range s.fixed {
		if !fixed {
			continue
		}
		for i := range regressors {
			b[i] -= a[i][j] * s.theta[j]
			a[i][j], a[j][i] = 0, 0
		}
		a[j][j], b[j] = 1, s.theta[j]
	}
	return a, b
}

// tiny is a pivot that is only rounding.
const tiny = 1e-13
