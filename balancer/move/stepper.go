package move

import (
	"maps"
	"slices"

	"github.com/tidegate/tidegate/balancer/placement"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

// stepper is one Step at work. It copies the table only when the first row changes.
type stepper struct {
	in      Input
	members map[fleet.NodeID]*Member
	old     *shard.Table
	table   *shard.Table
	changes []Change
	// targets may be given shards, and heard says that none of them is stale.
	targets []placement.Member
	heard   bool
	// lost are the next owners that settle took from rows, by shard: plan names others or cancels.
	lost map[shard.ID]loss
}

// loss is a next owner that a move lost, and why.
type loss struct {
	next   fleet.NodeID
	reason string
}

func newStepper(t *shard.Table, in Input) *stepper {
	s := &stepper{in: in, members: make(map[fleet.NodeID]*Member, len(in.Members)), old: t, table: t}
	for i := range in.Members {
		s.members[in.Members[i].ID] = &in.Members[i]
	}
	fresh, stale := s.choose((*Member).eligible)
	s.targets, s.heard = fresh, len(fresh) > 0
	if !s.heard {
		s.targets = stale
	}
	return s
}

// own gives the stepper a table of its own, which it may write.
func (s *stepper) own() *shard.Table {
	if s.table == s.old {
		s.table = s.old.Clone()
		if s.table.Nodes == nil {
			s.table.Nodes = map[fleet.NodeID]shard.Node{}
		}
	}
	return s.table
}

func (s *stepper) setRow(id shard.ID, owner, next fleet.NodeID) {
	row := &s.own().Rows[id]
	row.Owner, row.Next = owner, next
	row.Version = s.old.Version + 1
}

func (s *stepper) note(id shard.ID, kind Kind, from, to fleet.NodeID, reason string) {
	s.changes = append(s.changes, Change{Shard: id, Kind: kind, From: from, To: to, Reason: reason})
}

// settle continues the moves under way, row by row, with what is known now.
func (s *stepper) settle() {
	for i := range s.table.Rows {
		id := shard.ID(i)
		row := s.table.Rows[i]
		if row.Next == "" {
			continue
		}
		next, known := s.members[row.Next]
		orphaned := s.orphaned(row.Owner)
		switch {
		case !known || !next.eligible() || row.Next == row.Owner, orphaned && next.Stale && s.heard:
			s.dropNext(id, row, ReasonNextLost)
		case !next.ready(id) && s.overdue(id, row):
			s.dropNext(id, row, ReasonSlow)
		case orphaned:
			s.flip(id, row, s.whyOrphaned(row.Owner))
		case next.ready(id) && !next.Stale: // what a silent node last said may be long over
			s.flip(id, row, ReasonReady)
		}
	}
}

// overdue tells whether a move has waited too long for its next owner and can end otherwise: the owner stays, or
// another node takes over.
func (s *stepper) overdue(id shard.ID, row shard.Row) bool {
	slow := s.in.Slow[id]
	if !slices.Contains(slow, row.Next) {
		return false
	}
	if owner, known := s.members[row.Owner]; known && owner.eligible() {
		return true
	}
	return slices.ContainsFunc(s.targets, func(m placement.Member) bool { return !slices.Contains(slow, m.ID) })
}

// dropNext ends a move whose next owner cannot take the shard. The owner stays; plan finds another next.
func (s *stepper) dropNext(id shard.ID, row shard.Row, reason string) {
	if s.lost == nil {
		s.lost = map[shard.ID]loss{}
	}
	s.lost[id] = loss{next: row.Next, reason: reason}
	s.setRow(id, row.Owner, "")
}

func (s *stepper) flip(id shard.ID, row shard.Row, reason string) {
	s.setRow(id, row.Next, "")
	s.note(id, Flip, row.Owner, row.Next, reason)
}

// orphaned tells whether a shard of this owner has nobody to serve it. An owner of whom nothing is known
// still has it: silence is no death.
func (s *stepper) orphaned(owner fleet.NodeID) bool {
	if owner == "" {
		return true
	}
	m, known := s.members[owner]
	return known && !m.alive()
}

func (s *stepper) whyOrphaned(owner fleet.NodeID) string {
	if owner == "" {
		return ReasonNoOwner
	}
	return ReasonOwnerDead
}

// refreshNodes makes the table tell of every living member and of every node that a row still names.
func (s *stepper) refreshNodes() {
	for i := range s.in.Members {
		m := &s.in.Members[i]
		told := shard.Node{URL: m.URL, State: m.State, Limit: m.Limit}
		has, ok := s.table.Nodes[m.ID]
		if ok {
			told.Limit = has.Limit // see refreshLimits
		}
		if m.alive() && (!ok || has != told) {
			s.own().Nodes[m.ID] = told
		}
	}
	var named map[fleet.NodeID]bool
	for id := range s.table.Nodes {
		if m, known := s.members[id]; known && m.alive() {
			continue
		}
		if named == nil {
			named = s.named()
		}
		if !named[id] {
			delete(s.own().Nodes, id)
		}
	}
}

// named are the nodes that some row names.
func (s *stepper) named() map[fleet.NodeID]bool {
	named := map[fleet.NodeID]bool{}
	for _, row := range s.table.Rows {
		named[row.Owner], named[row.Next] = true, true
	}
	return named
}

func (s *stepper) result() (*shard.Table, []Change) {
	if s.table != s.old {
		s.table.Version = s.old.Version + 1
		s.table.Fence = s.in.Fence
	}
	return s.table, s.changes
}

func sortedNodes(t *shard.Table) []fleet.NodeID {
	return slices.Sorted(maps.Keys(t.Nodes))
}
