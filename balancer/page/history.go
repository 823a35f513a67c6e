package page

import (
	"math"

	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
)

const (
	// coarsePoints is how many minutes are kept behind the fine points: a day.
	coarsePoints = 24 * 60
	// coarseSeconds is the width of a coarse point.
	coarseSeconds = 60
	// keptChanges is how many decisions are listed.
	keptChanges = 200
)

// Change is a decision that changed the desired count.
type Change struct {
	// From is the count before; 0 when this replica did not see it.
	From     int               `json:"from"`
	Decision decision.Decision `json:"decision"`
}

// History is what /api/v1/history answers: chart columns and the decisions in their order.
type History struct {
	Fleet   fleet.ID `json:"fleet"`
	Columns Columns  `json:"columns"`
	Changes []Change `json:"changes"`
}

// history is the bounded past of one fleet: every snapshot for a while, then a point a minute for a day.
type history struct {
	fine    ring[Point]
	coarse  ring[Point]
	changes ring[Change]
}

func newHistory(points int) *history {
	return &history{
		fine:    newRing[Point](points),
		coarse:  newRing[Point](coarsePoints),
		changes: newRing[Change](keptChanges),
	}
}

// add keeps a point and, when the desired count changed, its decision.
func (h *history) add(p Point, d decision.Decision) {
	if last := h.fine.last(); last != nil && p.At <= last.At {
		// The server's clock went back (a failover): what lies ahead of it now never happened on this axis.
		before := func(old Point) bool { return old.At < p.At }
		h.fine.keep(before)
		h.coarse.keep(before)
	}
	h.fine.push(p)
	if last := h.coarse.last(); last != nil && minute(last.At) == minute(p.At) {
		*last = last.merge(p)
	} else {
		h.coarse.push(p)
	}
	last := h.changes.last()
	switch {
	case d.At.IsZero():
		// Nothing was decided yet: an empty decision is no step in the list.
	case last == nil:
		h.changes.push(Change{Decision: d})
	case last.Decision.Desired != d.Desired:
		h.changes.push(Change{From: last.Decision.Desired, Decision: d})
	}
}

// from is the desired count before the newest one; 0 when it is not known.
func (h *history) from() int {
	if last := h.changes.last(); last != nil {
		return last.From
	}
	return 0
}

// points lists what is known after a Unix time in seconds: coarse points, then the fine ones that follow them.
func (h *history) points(since float64) []Point {
	first := math.Inf(1)
	if h.fine.len() > 0 {
		first = h.fine.at(0).At
	}
	out := make([]Point, 0, h.coarse.len()+h.fine.len())
	for i := range h.coarse.len() {
		if p := h.coarse.at(i); p.At < first && p.At > since {
			out = append(out, p)
		}
	}
	for i := range h.fine.len() {
		if p := h.fine.at(i); p.At > since {
			out = append(out, p)
		}
	}
	return out
}

func minute(at float64) float64 { return math.Floor(at / coarseSeconds) }
