package capacity

import (
	"errors"
	"math"

	"github.com/tidegate/tidegate/balancer/policy"
)

// The regressors of a pod: 1, clients, messages/s, handshakes/s.
const (
	one = iota
	clients
	messages
	handshakes
	regressors
)

// Fit is what heartbeats have taught of the costs of a pod: recursive least squares with forgetting, kept as sums (the normal
// equations) and not as a covariance. Sums cannot wind up while nothing new is taught, and the pull towards the prior is
// added when they are solved, so that it is the same after a second and after a year.
//
// Each sum is over seconds of teaching, of which the older count less.
type Fit struct {
	// X are the sums of products of the regressors, the upper triangle row by row; X[0] is the seconds themselves.
	X [10]float64 `json:"x"`
	// CPU and Memory are the sums of each regressor times what was used, and of its square.
	CPU    Taught `json:"cpu"`
	Memory Taught `json:"memory"`
}

// Taught is one dimension of a fit.
type Taught struct {
	XY [regressors]float64 `json:"xy"`
	YY float64             `json:"yy"`
}

// Lesson sums what the teaching nodes of one reading say. Its zero value is a reading without any.
type Lesson struct {
	nodes       float64
	x           [10]float64
	cpu, memory Taught
}

// Add puts one node's numbers into the lesson.
func (l *Lesson) Add(conns, msgs, shakes, cpu, memory float64) {
	l.nodes++
	l.x[1] += conns
	l.x[2] += msgs
	l.x[3] += shakes
	l.x[4] += conns * conns
	l.x[5] += conns * msgs
	l.x[6] += conns * shakes
	l.x[7] += msgs * msgs
	l.x[8] += msgs * shakes
	l.x[9] += shakes * shakes
	l.cpu.add(conns, msgs, shakes, cpu)
	l.memory.add(conns, msgs, shakes, memory)
}

func (t *Taught) add(conns, msgs, shakes, used float64) {
	t.XY[one] += used
	t.XY[clients] += conns * used
	t.XY[messages] += msgs * used
	t.XY[handshakes] += shakes * used
	t.YY += used * used
}

// spread is how much the difference between nodes counts against the change of their mean. It counts less: a slow node is
// given fewer clients for the same CPU, and looks as if clients cost nothing.
const spread = 0.2

// Learn adds a lesson that stands for so many seconds, and forgets a little of the rest.
func (f Fit) Learn(p policy.Policy, l *Lesson, seconds float64) Fit {
	if l.nodes == 0 || !(seconds > 0) {
		return f
	}
	keep := math.Exp2(-seconds / p.Learn.CapacityHalfLife.Seconds())
	mean := [regressors]float64{1, l.x[1] / l.nodes, l.x[2] / l.nodes, l.x[3] / l.nodes}
	at := 0
	for i := range regressors {
		for j := i; j < regressors; j++ {
			f.X[at] = keep*f.X[at] + seconds*damped(mean[i]*mean[j], l.x[at]/l.nodes, at == 0)
			at++
		}
	}
	f.CPU.learn(&l.cpu, &mean, l.nodes, seconds, keep)
	f.Memory.learn(&l.memory, &mean, l.nodes, seconds, keep)
	return f
}

// damped is a product of means with a part of the covariance between nodes on top.
func damped(ofMeans, mean float64, exact bool) float64 {
	if exact {
		return 1
	}
	return ofMeans + spread*(mean-ofMeans)
}

func (t *Taught) learn(l *Taught, mean *[regressors]float64, nodes, seconds, keep float64) {
	used := l.XY[one] / nodes
	for i := range regressors {
		t.XY[i] = keep*t.XY[i] + seconds*damped(mean[i]*used, l.XY[i]/nodes, false)
	}
	t.YY = keep*t.YY + seconds*damped(used*used, l.YY/nodes, false)
}

// Validate refuses sums that no fleet can have taught.
func (f *Fit) Validate() error {
	for _, list := range [][]float64{f.X[:], f.CPU.XY[:], f.Memory.XY[:], {f.CPU.YY, f.Memory.YY}} {
		for _, x := range list {
			if !(x >= 0 && x <= mostTaught) {
				return errors.New("fit holds numbers that no fleet teaches")
			}
		}
	}
	return nil
}

// mostTaught is above every sum of products that a fit can hold.
const mostTaught = 1e40
