package rival

import (
	"testing"

	"github.com/tidegate/tidegate/internal/backtest/world"
)

// What the HPA is told is the average of the period before the one that just ended.
func TestTheMetricIsOnePeriodLate(t *testing.T) {
	t.Parallel()
	w := fleetOf(t, 1, "ramp", 0.2)
	var s scrape
	id := w.Pods()[0].ID
	var averages []float64
	sum, seconds := 0.0, 0
	for len(averages) < 20 {
		w.Step(world.Order{Replicas: 1})
		s.observe(w)
		sum, seconds = sum+w.Pods()[0].CPU, seconds+1
		if w.Now()%resolution != 0 {
			continue
		}
		averages = append(averages, sum/float64(seconds))
		sum, seconds = 0, 0
		n := len(averages)
		switch u := s.pods[id]; {
		case n == 1 && u.known:
			t.Error("the HPA knows a pod's CPU at once")
		case n > 1 && u.told != averages[n-2]:
			t.Errorf("period %d: the HPA is told %v, the period before had %v", n, u.told, averages[n-2])
		}
	}
}
