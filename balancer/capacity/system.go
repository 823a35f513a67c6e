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
	var free [regressors]int
	n := 0
	for i := range regressors {
		if !s.fixed[i] {
			free[n] = i
			n++
		}
	}
	var l [regressors][regressors]float64
	var y [regressors]float64
	for r := range n {
		i := free[r] //nolint:gosec // G602 does not see that rows and columns stay below regressors.
		rest := s.b[i]
		for j := range regressors {
			if s.fixed[j] {
				rest -= s.a[i][j] * s.theta[j]
			}
		}
		for c := range r + 1 {
			sum := s.a[i][free[c]]
			for k := range c {
				sum -= l[r][k] * l[c][k] //nolint:gosec // G602 does not see that rows and columns stay below regressors.
			}
			if c < r {
				l[r][c] = sum / l[c][c] //nolint:gosec // G602 does not see that rows and columns stay below regressors.
				rest -= l[r][c] * y[c]
				continue
			}
			// Written so that NaN fails.
			if !(sum > tiny) {
				return false
			}
			l[r][r] = math.Sqrt(sum)
		}
		y[r] = rest / l[r][r]
	}
	for r := n - 1; r >= 0; r-- {
		for k := r + 1; k < n; k++ {
			y[r] -= l[k][r] * y[k]
		}
		y[r] /= l[r][r]
		s.theta[free[r]] = y[r]
	}
	return true
}

// tiny is a pivot that is only rounding.
const tiny = 1e-13
