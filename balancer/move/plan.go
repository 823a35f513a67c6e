package move

import (
	"github.com/tidegate/tidegate/balancer/placement"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

// plan asks the placement where the shards should be and begins what moves that takes.
func (s *stepper) plan() {
	s.adopt()
	if len(s.targets) > 0 {
		problem := s.problem()
		if answer := placement.Solve(problem); answer.Changed() {
			s.begin(problem, answer)
		}
	}
	s.cancel()
}

// choose lists the members that the rule allows, those that are heard apart from the stale ones.
func (s *stepper) choose(rule func(*Member) bool) (fresh, stale []placement.Member) {
	fresh = make([]placement.Member, 0, len(s.in.Members))
	for i := range s.in.Members {
		m := &s.in.Members[i]
		_, full := s.in.Heat.Full[m.ID]
		switch chosen := (placement.Member{ID: m.ID, Weight: m.Weight, Old: m.Old, Full: full}); {
		case !rule(m):
		case m.Stale:
			stale = append(stale, chosen)
		default:
			fresh = append(fresh, chosen)
		}
	}
	return fresh, stale
}

// problem describes the table as it will be once the moves under way are done.
func (s *stepper) problem() placement.Problem {
	rows := s.table.Rows
	flags := make([]bool, 2*len(rows))
	p := placement.Problem{
		Owners: make([]fleet.NodeID, len(rows)), Loads: s.in.Loads, Members: s.targets,
		Fixed: flags[:len(rows)], Absent: flags[len(rows):], Rested: s.rested(), Barred: s.in.Slow,
	}
	for i, row := range rows {
		p.Owners[i] = row.Owner
		if row.Next != "" {
			p.Owners[i] = row.Next
			p.Fixed[i] = true
			p.Absent[i] = s.heard && s.members[row.Next].Stale // it is no target now, but waits for the shard
			continue
		}
		owner, known := s.members[row.Owner]
		p.Absent[i] = row.Owner != "" && !known || known && owner.alive() && owner.Stale
	}
	return p
}

// rested are the shards that moved for heat a short while ago; nil when none did.
func (s *stepper) rested() []bool {
	var rested []bool
	rest := s.in.Heat.Rules.HeatRest
	if rest <= 0 {
		rest = HeatRest
	}
	for i, at := range s.in.Heated {
		if at.IsZero() || s.in.Now.Sub(at) >= rest || i >= len(s.table.Rows) {
			continue
		}
		if rested == nil {
			rested = make([]bool, len(s.table.Rows))
		}
		rested[i] = true
	}
	return rested
}

// begin takes the first step of each move that the placement asks for: an orphan is assigned at once, any
// other shard gets a next owner.
func (s *stepper) begin(p placement.Problem, answer placement.Solution) {
	for i, to := range answer.Owners {
		id := shard.ID(i)
		row := s.table.Rows[i]
		if to == p.Owners[i] {
			continue
		}
		if s.orphaned(row.Owner) {
			s.assign(id, row, to)
			continue
		}
		s.setRow(id, row.Owner, to)
		if lost, had := s.lost[id]; had {
			delete(s.lost, id)
			s.note(id, Redirect, lost.next, to, lost.reason)
			continue
		}
		s.note(id, Next, row.Owner, to, reasonOf(answer.Causes[i]))
	}
}

func (s *stepper) assign(id shard.ID, row shard.Row, to fleet.NodeID) {
	delete(s.lost, id)
	s.setRow(id, to, "")
	s.note(id, Assign, row.Owner, to, s.whyOrphaned(row.Owner))
}

// adopt gives orphans to nominated nodes where there is no better one: they serve until they drain, and a
// client at a slow goodbye is better off than one at a dead address.
func (s *stepper) adopt() {
	if s.heard {
		return
	}
	leaving, stale := s.choose(func(m *Member) bool { return m.alive() && m.State == fleet.Leaving })
	if len(leaving) == 0 && len(s.targets) == 0 {
		leaving = stale
	}
	if len(leaving) == 0 {
		return
	}
	owners := make([]fleet.NodeID, len(s.table.Rows))
	kept := make([]bool, len(owners))
	for i, row := range s.table.Rows {
		owners[i] = row.Owner
		kept[i] = !s.orphaned(row.Owner)
	}
	answer := placement.Solve(placement.Problem{Owners: owners, Loads: s.in.Loads, Members: leaving, Absent: kept})
	for i, to := range answer.Owners {
		if to != owners[i] {
			s.assign(shard.ID(i), s.table.Rows[i], to)
		}
	}
}

// cancel writes down the moves that ended because nobody can take the shard instead.
func (s *stepper) cancel() {
	for i := range s.table.Rows {
		if lost, had := s.lost[shard.ID(i)]; had {
			s.note(shard.ID(i), Cancel, lost.next, "", lost.reason)
		}
	}
}
