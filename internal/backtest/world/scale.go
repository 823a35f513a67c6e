package world

import (
	"cmp"
	"math"
	"slices"

	"github.com/tidegate/tidegate/internal/fleet"
)

// scale makes the pods that are missing, and asks to go those that are too many.
func (w *World) scale(o Order) {
	if w.spec != o.Replicas {
		w.spec, w.news = o.Replicas, true
	}
	there := 0
	for _, p := range w.pods {
		if !p.Deleted {
			there++
		}
	}
	for ; there < w.spec; there++ {
		w.create()
	}
	if there > w.spec {
		for _, p := range w.leavers(there-w.spec, o.Victims) {
			w.remove(p)
		}
	}
}

// create makes a pod, which speaks when it has started.
func (w *World) create() *Pod {
	x := w.o.Physics
	lead := x.Start.Seconds() * math.Exp(x.StartSpread*w.starts.NormFloat64())
	if w.starts.Float64() < x.SlowStarts {
		lead *= x.SlowFactor
	}
	p := &Pod{
		ID: podName(w.made), Created: w.now, Up: w.now + max(1, int(math.Round(lead))), State: fleet.Starting,
		speed: 1 + x.Spread*min(2.5, max(-2.5, w.starts.NormFloat64())), keep: 1, silentUntil: w.now,
	}
	if w.o.NeverStart && w.now > -Settle {
		p.Up = never
	}
	w.made++
	w.pods = append(w.pods, p)
	w.changed, w.news = true, true
	return p
}

// leavers are who goes, in a ReplicaSet's order: who has not started, who is not ready, then who costs least to lose by the
// victims' order, then the youngest.
func (w *World) leavers(count int, victims []fleet.NodeID) []*Pod {
	place := func(p *Pod) int {
		if i := slices.Index(victims, p.ID); i >= 0 {
			return i
		}
		return len(victims)
	}
	free := make([]*Pod, 0, len(w.pods))
	for _, p := range w.pods {
		if !p.Deleted {
			free = append(free, p)
		}
	}
	rank := func(p *Pod) int {
		switch {
		case w.now < p.Up:
			return 0
		case !p.Served:
			return 1
		default:
			return 2
		}
	}
	slices.SortStableFunc(free, func(a, b *Pod) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(place(a), place(b)), cmp.Compare(b.ServesSince, a.ServesSince), cmp.Compare(b.Created, a.Created))
	})
	return free[:min(count, len(free))]
}

// remove asks a pod to go: a node of a movable fleet drains, one of a sticky fleet closes all of its connections.
func (w *World) remove(p *Pod) {
	p.Deleted = true
	w.changed, w.news = true, true
	if w.table != nil && w.now >= p.Up {
		p.State, p.deadline = fleet.Draining, w.now+int(w.o.Physics.DrainLimit.Seconds())
		return
	}
	p.deadline = w.now
}

// depart ends the pods that are empty, or have no more time.
func (w *World) depart() {
	left := w.pods[:0]
	for _, p := range w.pods {
		if !p.Deleted || w.now < p.deadline && (p.Clients() >= drained || p.share > 0) {
			left = append(left, p)
			continue
		}
		w.bury(p)
	}
	for i := len(left); i < len(w.pods); i++ {
		w.pods[i] = nil
	}
	w.pods = left
}

// drained is a node that is empty but for the rounding of a fluid.
const drained = 0.5

// bury takes a pod off the fleet. Whoever is still on it was cut.
func (w *World) bury(p *Pod) {
	w.changed, w.news = true, true
	p.State = fleet.Gone
	if p.Clients() >= drained {
		w.cut += p.Clients()
		w.moved += p.Clients()
	}
	if w.table != nil {
		w.table.bury(p)
		return
	}
	w.returning += p.Clients()
	p.home, p.strand = 0, 0
}
