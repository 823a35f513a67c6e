// Package move steps the shard table: pure functions from a stored table and what the leader sees of the
// nodes to the next table. Every step of a shard's move is in the table before anybody acts on it, so a
// new leader continues where the last one stopped, from whatever table it finds.
//
// A shard moves in two steps here: a next owner is named and warms the shard up; once it is ready, the
// table flips. Only a dead owner's shards flip without waiting. Residents' clients are then moved by their
// node, which paces itself.
package move

import (
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

// HeatRest is how long a shard stays where it is after it has moved for heat, where the rules do not say.
const HeatRest = 10 * time.Minute

// Member is a node as the leader sees it.
type Member struct {
	ID  fleet.NodeID
	URL string
	// State is the leader's view: Leaving once the node is nominated.
	State fleet.State
	// Dead says that the node is known to be gone, not merely silent.
	Dead bool
	// Stale says that its heartbeats are missing: whether it sees the table is not known. Such a node keeps what it
	// has, and is given nothing while a node that is heard can take it.
	Stale bool
	// Old says that a rollout will replace the node; see placement.Member.
	Old bool
	// Weight is what the node may carry relative to the others; see placement.Picture.
	Weight float64
	// Limit is what the node may take of clients it does not know.
	Limit shard.Limit
	// Ready tells whether the node has warmed a shard up; nil is never.
	Ready func(shard.ID) bool
}

// alive nodes can keep what they have; serving and starting ones can be given more.
func (m *Member) alive() bool { return !m.Dead && m.State != fleet.Gone }

func (m *Member) eligible() bool {
	return m.alive() && (m.State == fleet.Serving || m.State == fleet.Starting)
}

func (m *Member) ready(id shard.ID) bool { return m.Ready != nil && m.Ready(id) }

// Input is what Step decides from besides the table.
type Input struct {
	// Members are the nodes the leader knows, dead ones included until they own nothing. A node that the
	// table names and Members does not hold is unknown: it keeps its shards until it is reported Dead, so
	// that a Redis that lost its heartbeats moves nothing (see Unknown).
	Members []Member
	// Loads is the load of each shard; see placement.Picture.
	Loads []float64
	// Fence is the leader's token; it goes into every table that Step changes.
	Fence uint64
	// Now is the Redis server's time, and Heated when each shard last moved for heat (see NoteHeat).
	// Without Heated nothing rests.
	Now    time.Time
	Heated []time.Time
	// Heat tells which nodes are hot or full; see Cooling. Optional.
	Heat Heat
	// Slow names for a shard the nodes that took too long to get ready for it (see Waits). One that is its next
	// owner loses it to another, or to the owner where that one stays. Optional.
	Slow map[shard.ID][]fleet.NodeID
	// Limits paces what is told of limits; the zero value tells them at once.
	Limits Limits
}

// New is the table of a fleet that nobody serves yet.
func New(id fleet.ID, shards int) *shard.Table {
	return &shard.Table{Fleet: id, Rows: make([]shard.Row, shards), Nodes: map[fleet.NodeID]shard.Node{}}
}

// Step takes every step of every move that can be taken now. It returns t itself when nothing changes,
// else a new table one version on, whose changed rows carry that version; t is never changed. The changes
// are those of rows: a table can also differ in what it tells about nodes only.
func Step(t *shard.Table, in Input) (next *shard.Table, changes []Change) {
	s := newStepper(t, in)
	s.settle()
	s.plan()
	s.cool()
	s.refreshNodes()
	s.refreshLimits()
	return s.result()
}

// Unknown names the nodes that the table holds and members do not: the leader should find out whether
// they live, and report them Dead when they do not.
func Unknown(t *shard.Table, members []Member) []fleet.NodeID {
	known := make(map[fleet.NodeID]bool, len(members))
	for i := range members {
		known[members[i].ID] = true
	}
	var unknown []fleet.NodeID
	for _, id := range sortedNodes(t) {
		if !known[id] {
			unknown = append(unknown, id)
		}
	}
	return unknown
}
