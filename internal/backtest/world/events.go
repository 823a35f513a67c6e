package world

import "github.com/tidegate/tidegate/internal/fleet"

// hotspots are the groups of heavy clients that are awake.
type hotspots struct {
	next  int
	until int
	pod   *Pod
	// shards that the group is in, in a movable fleet.
	shards []int
	rate   float64
	each   float64
}

// heavyShards is over how many shards of one node a group of heavy clients is spread.
const heavyShards = 8

// befall brings what the trace has in store for single nodes.
func (w *World) befall() {
	for _, n := range w.o.Trace.Neighbours {
		switch w.now {
		case n.From:
			if p := w.serverAt(n.Node); p != nil {
				p.taken, p.takenUntil = n.Part, n.To
			}
		}
	}
	for _, p := range w.pods {
		if p.taken > 0 && w.now >= p.takenUntil {
			p.taken = 0
		}
	}
	w.heat()
}

// serverAt picks a node that serves.
func (w *World) serverAt(place int) *Pod {
	n := w.Serving()
	if n == 0 {
		return nil
	}
	place %= n
	for _, p := range w.pods {
		if p.State != fleet.Serving {
			continue
		}
		if place == 0 {
			return p
		}
		place--
	}
	return nil
}

// heat wakes and ends groups of heavy clients.
func (w *World) heat() {
	h, all := &w.hot, w.o.Trace.Hotspots
	if h.pod != nil && w.now >= h.until {
		w.cool()
	}
	if h.next >= len(all) || w.now < all[h.next].From {
		if h.pod != nil && w.table != nil {
			w.spreadHeat()
		}
		return
	}
	spot := all[h.next]
	h.next++
	w.cool()
	h.pod = w.serverAt(spot.From)
	if h.pod == nil {
		return
	}
	h.until, h.rate = spot.To, spot.Rate
	group := min(h.pod.home, spot.Part*w.Connected()/float64(max(1, w.Serving())))
	if w.table == nil {
		h.pod.heavy = heavies{clients: group, rate: spot.Rate}
		return
	}
	h.shards = w.table.some(h.pod, heavyShards)
	h.each = group / float64(max(1, len(h.shards)))
	w.spreadHeat()
}

// cool ends the group.
func (w *World) cool() {
	for _, p := range w.pods {
		p.heavy = heavies{}
	}
	w.hot.pod, w.hot.shards = nil, nil
}

// spreadHeat puts the heavy clients where those of their shards are.
func (w *World) spreadHeat() {
	for _, p := range w.pods {
		p.heavy = heavies{}
	}
	for _, s := range w.hot.shards {
		w.table.heavyAt(s, w.hot.each, w.hot.rate)
	}
}
