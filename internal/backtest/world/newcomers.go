package world

import (
	"github.com/tidegate/tidegate/balancer/placement"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// newcomers are what the balancer knows of a sticky fleet when it says where newcomers go.
type newcomers struct {
	picture placement.Picture
	shares  map[fleet.NodeID]float64
	nodes   []load.Node
	ranAt   int
}

// newcomersEvery is how many seconds the shares of newcomers stand.
const newcomersEvery = 2

// byRoom spreads newcomers by the room that nodes have, as the balancer sees it.
func (w *World) byRoom(tries float64, o Order) {
	n := &w.newcomers
	if n.shares == nil || w.now-n.ranAt >= newcomersEvery {
		n.ranAt = w.now
		n.nodes = w.appendNodes(n.nodes[:0])
		n.picture = placement.Observe(w.o.Policy, o.Model, n.nodes, 0, clock(w.now), n.picture)
		n.shares = placement.Shares(w.o.Policy, n.picture)
	}
	sum := 0.0
	for _, p := range w.takers {
		p.taking = n.shares[p.ID]
		sum += p.taking
	}
	for _, p := range w.takers {
		part := 1 / float64(len(w.takers))
		if sum > 0 {
			part = p.taking / sum
		}
		w.try(p, tries*part)
	}
}
