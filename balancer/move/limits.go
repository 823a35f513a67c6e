package move

import (
	"time"

	"github.com/tidegate/tidegate/internal/shard"
)

// How often limits go into the table where nothing else changes, and those that must at least halve: every table is read whole
// by every node.
const (
	limitsEvery  = 15 * time.Second
	halvingEvery = 3 * time.Second
	// halvingPart is of how many nodes one must halve its limit for all to hear at once.
	halvingPart = 100
)

// Limits is a leader's memory of when it last told nodes other limits. The zero value has told none; it is for one goroutine.
type Limits struct{ at time.Time }

// Note takes over a step's table.
func (l *Limits) Note(old, next *shard.Table, now time.Time) {
	if old == next {
		return
	}
	for id, n := range next.Nodes {
		if n.Limit != old.Nodes[id].Limit {
			l.at = now
			return
		}
	}
}

// refreshLimits tells nodes what they may take: with a table that changes anyway, or when the time for it has come.
func (s *stepper) refreshLimits() {
	if s.table == s.old && !s.limitsDue() {
		return
	}
	for i := range s.in.Members {
		m := &s.in.Members[i]
		if told, has := s.table.Nodes[m.ID]; has && m.alive() && told.Limit != m.Limit {
			told.Limit = m.Limit
			s.own().Nodes[m.ID] = told
		}
	}
}

func (s *stepper) limitsDue() bool {
	since := s.in.Now.Sub(s.in.Limits.at)
	switch {
	case s.in.Limits.at.IsZero() || since < 0 || since >= limitsEvery:
		return true
	case since < halvingEvery:
		return false
	}
	// Among very many nodes there is always one that noise halves: it can wait. A rush meets more of them.
	halving := 0
	for i := range s.in.Members {
		limit, told := s.in.Members[i].Limit, s.table.Nodes[s.in.Members[i].ID].Limit
		if halves(told.Sessions, limit.Sessions) || halves(told.Handshakes, limit.Handshakes) {
			halving++
		}
	}
	return halving > 0 && halving >= len(s.in.Members)/halvingPart
}

func halves(told, limit int) bool { return limit > 0 && limit <= told/2 }
