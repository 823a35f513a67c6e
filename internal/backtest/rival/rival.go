// Package rival holds the policies that are compared: what others run today, and our own. Each decides once a second from
// what it could see in production, never from what the world knows.
package rival

import (
	"time"

	"github.com/tidegate/tidegate/internal/backtest/world"
	"github.com/tidegate/tidegate/internal/hpa"
)

// Policy decides what is asked for in the next second.
type Policy interface {
	Order(w *world.World) world.Order
}

// Targets are what a team that measured its servers gives the autoscalers.
type Targets struct {
	// Min and Max bound the pods.
	Min, Max int
	// CPU is the utilization that the HPA aims at, and Connections the clients a pod that KEDA does.
	CPU         float64
	Connections float64
}

const (
	// syncPeriod is how often the HPA looks, in seconds.
	syncPeriod = 15
	// tolerance is the HPA's.
	tolerance = 0.1
)

// sync is an HPA that is looked after by the real formula.
type sync struct {
	spec    hpa.Spec
	history hpa.History
	asked   int
}

// defaults are an HPA without a behaviour of its own.
func defaults(t Targets) sync {
	return sync{spec: hpa.Spec{Min: t.Min, Max: t.Max, Up: hpa.DefaultUp(), Down: hpa.DefaultDown()}}
}

// look is one look of the HPA.
func (s *sync) look(now time.Time, spec, status int, metrics ...hpa.Metric) int {
	asked, _, history := hpa.Replicas(now, s.spec, hpa.Scale{Spec: spec, Status: status}, metrics, s.history)
	s.asked, s.history = asked, history
	return asked
}

// due says that the HPA looks in this second.
func due(w *world.World) bool { return w.Now()%syncPeriod == 0 }

// there counts the pods that a Deployment has: those that were not asked to go.
func there(w *world.World) int {
	n := 0
	for _, p := range w.Pods() {
		if !p.Deleted {
			n++
		}
	}
	return n
}
