// Package hindsight looks back at scale-ins: a node that left and was soon needed again saved nothing and moved its clients
// twice. Where that happens, there must be more room before the next node leaves.
package hindsight

import (
	"errors"
	"math"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
)

const (
	// mostLeaves bounds the scale-ins that may still be taken back; what is older than the bound counts as worth it.
	mostLeaves = 32
	// doubted is how many nodes that stayed away a fleet begins with, so that one scale-in taken back is no habit yet.
	doubted = 2
	// mostNodes bounds a sum of nodes.
	mostNodes = 1e9
)

// Leave is a scale-in of some nodes.
type Leave struct {
	// At is in microseconds.
	At    int64 `json:"t"`
	Nodes int   `json:"n"`
}

// Record is what became of scale-ins. Its zero value has seen none.
type Record struct {
	// Leaves are those that may still be taken back, the oldest first.
	Leaves []Leave `json:"leaves,omitempty"`
	// Judged counts nodes whose leaving was judged, Missed those of them that were needed again, the sooner the more; what is long ago
	// counts less. At is when both were last right.
	Judged float64 `json:"judged,omitempty"`
	Missed float64 `json:"missed,omitempty"`
	At     int64   `json:"at,omitempty"`
}

// In is the record after so many nodes left.
func (r Record) In(p policy.Policy, now time.Time, nodes int) Record {
	r = r.settle(p, now)
	leaves := append(make([]Leave, 0, len(r.Leaves)+1), r.Leaves...)
	if len(leaves) == mostLeaves {
		r.Judged += float64(leaves[0].Nodes)
		leaves = leaves[1:]
	}
	r.Leaves = append(leaves, Leave{At: now.UnixMicro(), Nodes: nodes})
	return r
}

// Out is the record after so many nodes were asked for: the last that left are the first that are missed.
func (r Record) Out(p policy.Policy, now time.Time, nodes int) Record {
	r = r.settle(p, now)
	leaves := append([]Leave(nil), r.Leaves...)
	for nodes > 0 && len(leaves) > 0 {
		last := &leaves[len(leaves)-1]
		back := min(nodes, last.Nodes)
		age := float64(now.UnixMicro()-last.At) / float64(p.Settle.Worth.Microseconds())
		r.Judged += float64(back)
		r.Missed += float64(back) * min(1, max(0, 1-age))
		nodes -= back
		if last.Nodes -= back; last.Nodes == 0 {
			leaves = leaves[:len(leaves)-1]
		}
	}
	r.Leaves = leaves
	return r
}

// settle forgets a little, and judges what has stayed away for long enough.
func (r Record) settle(p policy.Policy, now time.Time) Record {
	micros := now.UnixMicro()
	keep := math.Exp2(-max(0, float64(micros-r.At)) / float64(p.Settle.HalfLife.Microseconds()))
	r.Judged, r.Missed, r.At = keep*r.Judged, keep*r.Missed, micros
	first := 0
	for first < len(r.Leaves) && micros-r.Leaves[first].At >= p.Settle.Worth.Microseconds() {
		r.Judged += float64(r.Leaves[first].Nodes)
		first++
	}
	r.Leaves = r.Leaves[first:]
	return r
}

// Regret is the part of what left lately that was missed, 0 to 1.
func (r Record) Regret(p policy.Policy, now time.Time) float64 {
	if !p.Settle.Learn || !(r.Missed > 0) {
		return 0
	}
	keep := math.Exp2(-max(0, float64(now.UnixMicro()-r.At)) / float64(p.Settle.HalfLife.Microseconds()))
	return min(1, keep*r.Missed/(keep*r.Judged+doubted))
}

// Room is the part of what would stay that the need must be below before a node leaves.
//
// It is room that is asked for and not a longer quiet: after a burst the need is low for long, and a node that waits in vain
// costs more than its clients' moves; where the load comes and goes in waves, room outlasts the wave.
func Room(p policy.Policy, regret float64) float64 {
	if !p.Settle.Learn {
		return p.Hysteresis
	}
	return p.Hysteresis - p.Settle.Hysteresis*regret
}

// Shifted is the record on a clock that was set by so many microseconds.
func (r Record) Shifted(micros int64) Record {
	leaves := make([]Leave, len(r.Leaves))
	for i, l := range r.Leaves {
		leaves[i] = Leave{At: l.At + micros, Nodes: l.Nodes}
	}
	r.Leaves = leaves
	if r.At != 0 {
		r.At += micros
	}
	return r
}

// Validate refuses a record that nothing can have written by now.
func (r Record) Validate(now time.Time) error {
	if len(r.Leaves) > mostLeaves {
		return errors.New("hindsight remembers too many scale-ins")
	}
	for i, l := range r.Leaves {
		if l.Nodes <= 0 || l.Nodes > mostNodes || l.At > now.UnixMicro() || i > 0 && l.At < r.Leaves[i-1].At {
			return errors.New("hindsight has a scale-in of no nodes, out of order or after now")
		}
	}
	if r.At != 0 && r.At > now.UnixMicro() {
		return errors.New("hindsight was judged after now")
	}
	if !(r.Missed >= 0 && r.Missed <= r.Judged && r.Judged <= mostNodes) {
		return errors.New("hindsight misses more nodes than left")
	}
	return nil
}
