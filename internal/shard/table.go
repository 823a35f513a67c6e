package shard

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/tidegate/tidegate/internal/fleet"
)

// MaxShards is the largest table that is accepted, a bound against hostile input.
const MaxShards = 65536

// Row says who serves one shard.
type Row struct {
	// Owner serves the shard's clients now. It is empty only before the first node of the fleet serves.
	Owner fleet.NodeID
	// Next warms the shard up and will own it; empty when the shard does not move.
	Next fleet.NodeID
	// Version is the table version at which this row last changed.
	Version uint64
}

// Node is what the table tells about a node that some row names.
type Node struct {
	// URL is where clients reach the node, a ws:// or wss:// address.
	URL string `json:"url"`
	// State is the node's state as the leader sees it.
	State fleet.State `json:"state"`
	// Limit is what the node may take of clients it does not know; a node of which the leader knows too little has none.
	Limit Limit `json:"limit,omitzero"`
}

// Limit is what a node may take of clients that bring no session: those that resume one are taken all the same. A zero field is
// no limit.
type Limit struct {
	// Sessions is how many the node holds at most when a stranger comes.
	Sessions int `json:"sessions,omitempty"`
	// Handshakes is how many strangers a second it takes.
	Handshakes int `json:"handshakes,omitempty"`
}

// Table says which node owns which shard. A table is a value: who changes one works on a Clone.
// Each step of a move is stored before anybody acts on it.
type Table struct {
	Fleet fleet.ID
	// Version grows by one with every stored change.
	Version uint64
	// Fence is the fencing token of the leader that wrote it.
	Fence uint64
	Rows  []Row
	// Nodes holds every member, also those that own nothing yet.
	Nodes map[fleet.NodeID]Node
}

// Clone copies the table so that a change does not reach its readers.
func (t *Table) Clone() *Table {
	c := *t
	c.Rows = slices.Clone(t.Rows)
	c.Nodes = maps.Clone(t.Nodes)
	return &c
}

// Row returns the shard and the row that serve a client.
func (t *Table) Row(client string) (ID, Row) {
	id := Of(client, len(t.Rows))
	return id, t.Rows[id]
}

// OwnerURL is where the owner of a shard takes clients; empty when nobody owns it.
func (t *Table) OwnerURL(id ID) string { return t.Nodes[t.Rows[id].Owner].URL }

// wireTable names each node once, so that a table of 1,024 rows takes about 15 KB.
type wireTable struct {
	Fleet   fleet.ID   `json:"fleet"`
	Version uint64     `json:"version"`
	Fence   uint64     `json:"fence"`
	Nodes   []wireNode `json:"nodes"`
	// Rows are owner and next as places in Nodes (-1: none) and the row's version: rowNumbers each.
	Rows [][]int64 `json:"rows"`
}

const (
	rowNumbers = 3
	// maxVersion leaves room to grow and fits the signed numbers of a row.
	maxVersion = math.MaxInt64 - 1
)

type wireNode struct {
	ID fleet.NodeID `json:"id"`
	Node
}

// Encode writes the table as Decode reads it; equal tables give equal bytes. A table that Decode would
// refuse is an error.
func (t *Table) Encode() ([]byte, error) {
	wire := wireTable{Fleet: t.Fleet, Version: t.Version, Fence: t.Fence, Rows: make([][]int64, len(t.Rows))}
	place := map[fleet.NodeID]int64{"": -1}
	for _, id := range slices.Sorted(maps.Keys(t.Nodes)) {
		place[id] = int64(len(wire.Nodes))
		wire.Nodes = append(wire.Nodes, wireNode{ID: id, Node: t.Nodes[id]})
	}
	if err := wire.validate(); err != nil {
		return nil, fmt.Errorf("encode table: %w", err)
	}
	numbers := make([]int64, rowNumbers*len(t.Rows))
	for i, row := range t.Rows {
		owner, okOwner := place[row.Owner]
		next, okNext := place[row.Next]
		if !okOwner || !okNext {
			return nil, fmt.Errorf("encode table: shard %d names a node that the table does not hold (owner %q, next %q)",
				i, row.Owner, row.Next)
		}
		if row.Version > maxVersion {
			return nil, fmt.Errorf("encode table: shard %d has version %d: at most %d is possible", i, row.Version, uint64(maxVersion))
		}
		wire.Rows[i] = append(numbers[rowNumbers*i:rowNumbers*i], owner, next, int64(row.Version))
	}
	body, err := json.Marshal(wire)
	if err != nil {
		return nil, fmt.Errorf("encode table: %w", err)
	}
	return body, nil
}

// Decode reads a table and refuses one that could misroute a client.
func Decode(body []byte) (*Table, error) {
	var wire wireTable
	if err := json.Unmarshal(body, &wire); err != nil {
		return nil, fmt.Errorf("decode table: %w", err)
	}
	if err := wire.validate(); err != nil {
		return nil, fmt.Errorf("decode table: %w", err)
	}
	table := &Table{
		Fleet: wire.Fleet, Version: wire.Version, Fence: wire.Fence,
		Rows: make([]Row, len(wire.Rows)), Nodes: make(map[fleet.NodeID]Node, len(wire.Nodes)),
	}
	for _, node := range wire.Nodes {
		if _, twice := table.Nodes[node.ID]; twice {
			return nil, fmt.Errorf("decode table: node %q appears twice", node.ID)
		}
		table.Nodes[node.ID] = node.Node
	}
	for i, row := range wire.Rows {
		decoded, err := wire.row(row)
		if err != nil {
			return nil, fmt.Errorf("decode table: shard %d: %w", i, err)
		}
		table.Rows[i] = decoded
	}
	return table, nil
}

// validate names the first thing outside the rows that makes a table unusable.
func (w *wireTable) validate() error {
	if err := w.Fleet.Validate(); err != nil {
		return err
	}
	if len(w.Rows) == 0 || len(w.Rows) > MaxShards {
		return fmt.Errorf("%d rows: want 1 to %d", len(w.Rows), MaxShards)
	}
	if w.Version > maxVersion {
		return fmt.Errorf("version %d: at most %d is possible", w.Version, uint64(maxVersion))
	}
	for _, node := range w.Nodes {
		if err := node.ID.Validate(); err != nil {
			return err
		}
		if node.State < fleet.Starting || node.State > fleet.Gone {
			return fmt.Errorf("node %q: %s is unknown: want starting, serving, leaving, draining or gone", node.ID, node.State)
		}
		if l := node.Limit; l.Sessions < 0 || l.Sessions > math.MaxInt32 || l.Handshakes < 0 || l.Handshakes > math.MaxInt32 {
			return fmt.Errorf("node %q: limit of %d sessions and %d handshakes/s: want 0 to %d", node.ID, l.Sessions, l.Handshakes, math.MaxInt32)
		}
	}
	return nil
}

// row reads one row; one that is short would send its clients to the first node.
func (w *wireTable) row(numbers []int64) (Row, error) {
	if len(numbers) != rowNumbers {
		return Row{}, fmt.Errorf("row has %d numbers: want owner, next and version", len(numbers))
	}
	owner, err := w.nodeAt(numbers[0])
	if err != nil {
		return Row{}, fmt.Errorf("owner: %w", err)
	}
	next, err := w.nodeAt(numbers[1])
	if err != nil {
		return Row{}, fmt.Errorf("next owner: %w", err)
	}
	if version := numbers[2]; version < 0 || version > maxVersion {
		return Row{}, fmt.Errorf("version %d: want 0 to %d", version, uint64(maxVersion))
	}
	return Row{Owner: owner, Next: next, Version: uint64(numbers[2])}, nil
}

func (w *wireTable) nodeAt(place int64) (fleet.NodeID, error) {
	if place == -1 {
		return "", nil
	}
	if place < 0 || place >= int64(len(w.Nodes)) {
		return "", fmt.Errorf("place %d is outside the %d nodes", place, len(w.Nodes))
	}
	return w.Nodes[place].ID, nil
}
