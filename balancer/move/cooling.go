package move

import (
	"time"

	"github.com/tidegate/tidegate/balancer/placement"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

// reopens is how far below the cool load a full node must be to count as having room again.
const reopens = 0.04

// Heat is what Step knows of hot nodes, from Cooling.Look. The zero value is no heat: then nobody is full and nobody gives.
type Heat struct {
	// Picture is what placement knows of the fleet.
	Picture placement.Picture
	// Givers may give shards away in this step; Full have no room for more.
	Givers, Full map[fleet.NodeID]struct{}
	Rules        policy.Placement
}

// Cooling is a leader's memory of the hot nodes. It is not stored: a new leader finds out anew who is hot. The zero value
// remembers nothing; it is for one goroutine.
type Cooling struct {
	// again is when each hot node may give again.
	again map[fleet.NodeID]time.Time
	full  map[fleet.NodeID]struct{}
}

// Look finds out who is hot, once every move under way is done: a node is from when it passes the hotspot's limit until it has
// cooled down, while the fleet's mean says that others have room.
func (c *Cooling) Look(t *shard.Table, now time.Time, pic placement.Picture, rules policy.Placement) Heat {
	uses, mean := pic.Project(destinations(t)), meanUse(pic)
	heat := Heat{Picture: pic, Rules: rules, Givers: map[fleet.NodeID]struct{}{}, Full: map[fleet.NodeID]struct{}{}}
	again := map[fleet.NodeID]time.Time{}
	for i := range pic.Nodes {
		n := &pic.Nodes[i]
		if c.fills(n.ID, uses[i], rules) {
			heat.Full[n.ID] = struct{}{}
		}
		if rules.HotspotRate <= 0 || !n.Serving || n.Stale || !c.hot(n, uses[i], mean, rules) {
			continue
		}
		again[n.ID] = c.again[n.ID]
		if !now.Before(c.again[n.ID]) {
			heat.Givers[n.ID] = struct{}{}
		}
	}
	c.again, c.full = again, heat.Full
	return heat
}

// hot tells whether a node begins to give shards away, or goes on.
func (c *Cooling) hot(n *placement.Node, use, mean placement.Use, rules policy.Placement) bool {
	cpu, memory := rules.HotspotCPU, rules.HotspotMemory
	if _, cooling := c.again[n.ID]; cooling {
		cpu, memory = rules.HotspotCool, rules.HotspotCool
	}
	// What moves already will cool the node: only what is left then counts.
	return use.CPU > cpu && mean.CPU < rules.HotspotMean || use.Memory > memory && mean.Memory < rules.HotspotMean
}

func (c *Cooling) fills(id fleet.NodeID, use placement.Use, rules policy.Placement) bool {
	limit := rules.HotspotCool
	if _, was := c.full[id]; was {
		limit -= reopens
	}
	return max(use.CPU, use.Memory) >= limit
}

// Note takes a step's changes: a node that gave clients away waits until they are no more than its rate allows.
func (c *Cooling) Note(changes []Change, heat Heat, now time.Time) {
	for _, change := range changes {
		if change.Reason != ReasonHotspot || int(change.Shard) >= len(heat.Picture.Shards) {
			continue
		}
		clients := heat.Picture.Shards[change.Shard].Clients
		again := c.again[change.From]
		if again.Before(now) {
			again = now
		}
		c.again[change.From] = again.Add(time.Duration(clients / heat.Rules.HotspotRate * float64(time.Second)))
	}
}

// meanUse is the mean over the nodes that serve and are heard.
func meanUse(pic placement.Picture) placement.Use {
	var mean placement.Use
	serving := 0.0
	for i := range pic.Nodes {
		if n := &pic.Nodes[i]; n.Serving && !n.Stale {
			mean.CPU += n.Level.CPU
			mean.Memory += n.Level.Memory
			serving++
		}
	}
	if serving > 0 {
		mean.CPU /= serving
		mean.Memory /= serving
	}
	return mean
}

// destinations are where each shard is, or will be.
func destinations(t *shard.Table) []fleet.NodeID {
	owners := make([]fleet.NodeID, len(t.Rows))
	for i, row := range t.Rows {
		owners[i] = row.Owner
		if row.Next != "" {
			owners[i] = row.Next
		}
	}
	return owners
}

// cool begins the moves that take load off hot nodes, after everything else is placed.
func (s *stepper) cool() {
	heat := s.in.Heat
	if len(heat.Givers) == 0 {
		return
	}
	held := s.rested()
	if held == nil {
		held = make([]bool, len(s.table.Rows))
	}
	for i, row := range s.table.Rows {
		owner, known := s.members[row.Owner]
		held[i] = held[i] || row.Next != "" || !known || !owner.alive() || owner.Stale
	}
	takers := make(map[fleet.NodeID]struct{}, len(s.targets))
	for i := range s.targets {
		if m := &s.targets[i]; !m.Old && !m.Full {
			takers[m.ID] = struct{}{}
		}
	}
	for _, h := range placement.Relieve(placement.Relief{
		Picture: heat.Picture, Owners: destinations(s.table), Givers: heat.Givers, Takers: takers,
		Cool: heat.Rules.HotspotCool, Clients: heat.Rules.HotspotRate, Held: held, Barred: s.in.Slow,
	}) {
		s.setRow(h.Shard, h.From, h.To)
		s.note(h.Shard, Next, h.From, h.To, ReasonHotspot)
	}
}
