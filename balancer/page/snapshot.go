// Package page is the status page: what a fleet does now, what it did, and why, live in a browser.
// The balancer publishes snapshots into a Feed; a Handler serves the page and its JSON from memory.
package page

import (
	"time"

	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
)

// Snapshot is one fleet at one time, as the page and /api/v1/status show it.
type Snapshot struct {
	Fleet fleet.ID `json:"fleet"`
	// Now is the Redis server's time, the clock of every decision.
	Now time.Time `json:"now"`
	// Leader names the balancer replica that decides; empty when none does.
	Leader string `json:"leader"`
	// Decision is the newest one; its zero value says that nothing was decided yet.
	Decision decision.Decision `json:"decision"`
	// Asked is the count that the fleet is asked for now, whoever decided it: in shadow mode somebody else; 0 when it is not
	// known.
	Asked int `json:"asked"`
	// Nodes are in the order in which the page lists them.
	Nodes []NodeRow `json:"nodes"`
	// Moves counts shards on their way to another owner.
	Moves int `json:"moves"`
	// TableVersion is the shard table's version; 0 before there is one.
	TableVersion uint64 `json:"tableVersion"`
	// From is the desired count before this one, 0 when this replica did not see it; Totals and Point sum the
	// rows up. Publish fills the three; a publisher need not.
	From   int    `json:"from"`
	Totals Totals `json:"totals"`
	Point  Point  `json:"point"`
}

// NodeRow is one node of a snapshot.
type NodeRow struct {
	ID    fleet.NodeID `json:"id"`
	State fleet.State  `json:"state"`
	// CPU and Memory are fractions of the node's limits.
	CPU    float64 `json:"cpu"`
	Memory float64 `json:"memory"`
	// Connections are open sessions.
	Connections       int     `json:"connections"`
	MessagesPerSecond float64 `json:"messagesPerSecond"`
	// P95 is the node's delivery latency; Lag its inbox backlog over the rate at which it consumes.
	P95 time.Duration `json:"p95LatencyNanos"`
	Lag time.Duration `json:"inboxLagNanos"`
	// Weight is what the node may carry, relative to the others; 0 when it takes nothing new.
	Weight float64 `json:"weight"`
	// Shards counts those the node owns; Warming those it reads ahead of owning them.
	Shards  int `json:"shards"`
	Warming int `json:"warming"`
	// Stale says that heartbeats are missing; the numbers are the last that arrived, Age ago.
	Stale bool          `json:"stale"`
	Age   time.Duration `json:"ageNanos"`
	// Drain is filled by Publish while the node drains.
	Drain *Drain `json:"drain,omitempty"`
}

// Drain is how far a draining node is: Connections of From are still there.
type Drain struct {
	// Since is when this replica first saw the node drain.
	Since time.Time `json:"since"`
	// From is how many connections the node held then.
	From int `json:"from"`
}

// Totals sums up the nodes of a snapshot. Averages are over serving nodes, as in a decision's inputs.
type Totals struct {
	Serving           int           `json:"serving"`
	Starting          int           `json:"starting"`
	Leaving           int           `json:"leaving"`
	Draining          int           `json:"draining"`
	Stale             int           `json:"stale"`
	Connections       int           `json:"connections"`
	MessagesPerSecond float64       `json:"messagesPerSecond"`
	CPU               float64       `json:"cpu"`
	Memory            float64       `json:"memory"`
	MaxCPU            float64       `json:"maxCpu"`
	MaxMemory         float64       `json:"maxMemory"`
	P95               time.Duration `json:"p95LatencyNanos"`
	MaxP95            time.Duration `json:"maxP95LatencyNanos"`
	Lag               time.Duration `json:"inboxLagNanos"`
	// DrainLeft counts the connections that draining nodes still hold, of DrainFrom.
	DrainLeft int `json:"drainLeft"`
	DrainFrom int `json:"drainFrom"`
}

// total sums up rows whose drains are already filled.
func total(rows []NodeRow) Totals {
	var t Totals
	for _, row := range rows {
		t.count(row)
		t.Connections += row.Connections
		t.MessagesPerSecond += row.MessagesPerSecond
		t.MaxCPU = max(t.MaxCPU, row.CPU)
		t.MaxMemory = max(t.MaxMemory, row.Memory)
		t.MaxP95 = max(t.MaxP95, row.P95)
	}
	if t.Serving > 0 {
		serving := float64(t.Serving)
		t.CPU /= serving
		t.Memory /= serving
		t.P95 /= time.Duration(t.Serving)
		t.Lag /= time.Duration(t.Serving)
	}
	return t
}

// count adds a row to the counts of its state and, when it serves, to the sums behind the averages.
func (t *Totals) count(row NodeRow) {
	if row.Stale {
		t.Stale++
	}
	switch row.State {
	case fleet.Starting:
		t.Starting++
	case fleet.Serving:
		t.Serving++
		t.CPU += row.CPU
		t.Memory += row.Memory
		t.P95 += row.P95
		t.Lag += row.Lag
	case fleet.Leaving:
		t.Leaving++
	case fleet.Draining:
		t.Draining++
		if row.Drain != nil {
			t.DrainLeft += row.Connections
			t.DrainFrom += row.Drain.From
		}
	case fleet.Gone:
	}
}
