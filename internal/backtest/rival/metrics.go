package rival

import (
	"math"

	"github.com/tidegate/tidegate/internal/backtest/world"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/hpa"
)

// resolution is how many seconds of CPU the metrics server averages. It scrapes a kubelet whose own numbers are as old again, so
// that the HPA sees an average one period late: it began 30 s ago and ended 15 s ago.
const resolution = 15

// milliScale makes a count of pods a metric in which thousandths of a pod are not lost.
const milliScale = 1000

// scrape keeps each pod's CPU as the metrics server tells it.
type scrape struct {
	pods map[fleet.NodeID]*usage
}

type usage struct {
	sum     float64
	seconds int
	// told is what the HPA sees, and fresh what it sees a period later; each is known once it is there.
	told, fresh       float64
	known, freshKnown bool
	seen              int
}

// observe takes a second in.
func (s *scrape) observe(w *world.World) {
	if s.pods == nil {
		s.pods = map[fleet.NodeID]*usage{}
	}
	turn := w.Now()%resolution == 0
	for _, p := range w.Pods() {
		if !p.Served || p.Deleted {
			continue
		}
		u := s.pods[p.ID]
		if u == nil {
			u = &usage{}
			s.pods[p.ID] = u
		}
		u.sum += p.CPU
		u.seconds++
		u.seen = w.Now()
		if turn {
			u.told, u.known = u.fresh, u.freshKnown
			u.fresh, u.freshKnown = u.sum/float64(u.seconds), true
			u.sum, u.seconds = 0, 0
		}
	}
	if turn {
		for id, u := range s.pods {
			if u.seen < w.Now() {
				delete(s.pods, id)
			}
		}
	}
}

// cpu is the pods' CPU as the HPA's metric. A pod that is not ready, or of which nothing was told yet, counts as idle when the
// others want more pods, and the latter as
// using all of its request when they want fewer [Kubernetes, GetResourceReplicas]. Requests are the limits here.
func (s *scrape) cpu(w *world.World, target float64) hpa.Metric {
	ready, unready, missing, sum := 0, 0, 0, 0.0
	for _, p := range w.Pods() {
		switch u := s.pods[p.ID]; {
		case p.Deleted:
		case !p.Served:
			unready++
		case u == nil || !u.known:
			missing++
		default:
			ready++
			sum += u.told
		}
	}
	return asCount(utilization(ready, unready, missing, sum, target))
}

// utilization is the count that a utilization asks for, before it is rounded up.
func utilization(ready, unready, missing int, sum, target float64) float64 {
	status := float64(ready + unready + missing)
	if ready == 0 {
		return status
	}
	counted := float64(ready)
	ratio := percent(sum, counted) / percent(target, 1)
	if missing == 0 && (unready == 0 || ratio <= 1) {
		if math.Abs(ratio-1) <= tolerance {
			return status
		}
		return ratio * counted
	}
	switch {
	case ratio < 1:
		sum += max(1, target) * float64(missing)
		counted += float64(missing)
	case ratio > 1:
		counted += float64(missing + unready)
	}
	again := percent(sum, counted) / percent(target, 1)
	if math.Abs(again-1) <= tolerance || ratio < 1 && again > 1 || ratio > 1 && again < 1 {
		return status
	}
	if count := again * counted; again < 1 && count <= status || again > 1 && count >= status {
		return count
	}
	return status
}

// percent is a utilization as the HPA knows it, in whole percent; the dust of floats makes none less.
func percent(used, requested float64) float64 { return math.Floor(100*used/requested + 1e-9) }

// asCount makes a count a metric that the HPA's formula rounds and tolerates as the one it came from.
func asCount(count float64) hpa.Metric {
	return hpa.Metric{Value: hpa.MilliOf(count * milliScale), Target: milliScale * milliScale}
}

// connections are the clients on all nodes as a metric. Whoever waits is on no node, so nobody counts them.
func connections(w *world.World, target float64) hpa.Metric {
	return hpa.Metric{Value: hpa.MilliOf(math.Round(w.Connected())), Target: hpa.MilliOf(target)}
}
