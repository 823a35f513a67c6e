package world

import (
	"math"
	"time"

	"github.com/tidegate/tidegate/balancer/move"
	"github.com/tidegate/tidegate/balancer/placement"
	"github.com/tidegate/tidegate/internal/backtest/trace"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/shard"
)

const (
	// tableRest is how many seconds the table rests at most, tableLook where a node is hot.
	tableRest, tableLook = 60, 10
	// mostStart is how many seconds a node may wait for its share before it counts as serving.
	mostStart = 60
)

// fleetID names the one fleet of a world.
var fleetID = fleet.ID{Namespace: "backtest", Name: "fleet"}

// table is the shard table at work: the balancer's own steps, on the world's nodes.
type table struct {
	w       *World
	table   *shard.Table
	waits   move.Waits
	heated  []time.Time
	cooling move.Cooling
	picture placement.Picture
	learned decision.Model

	// part is what each shard has of all clients, owner who serves it, and at its clients there (see Pod.keep).
	part  []float64
	owner []*Pod
	at    []float64
	// since is when each shard's move began.
	since []int
	// ranAt is when the rules were last asked, and readyAt when the next shard that moves is warm.
	ranAt, readyAt int
	nodes          []load.Node
	pods           map[fleet.NodeID]*Pod
}

// newTable is a table whose shards have as many clients as hashing gives them.
func newTable(w *World) *table {
	n := w.o.Shards
	t := &table{
		w: w, table: move.New(fleetID, n), part: make([]float64, n), owner: make([]*Pod, n), at: make([]float64, n), since: make([]int, n),
		pods: map[fleet.NodeID]*Pod{},
	}
	luck, sum := w.chances, 0.0
	each := hashed / float64(n)
	for i := range t.part {
		t.part[i] = max(1, each+math.Sqrt(each)*luck.NormFloat64())
		sum += t.part[i]
	}
	for i := range t.part {
		t.part[i] /= sum
	}
	return t
}

// hashed is over how many clients the unevenness of shards is that of a hash.
const hashed = trace.DefaultPeak

// settle gives every shard an owner, and every client its place.
func (t *table) settle(clients float64) {
	t.step()
	for i, p := range t.owner {
		if p != nil {
			t.at[i] = clients * t.part[i]
			p.home += t.at[i]
		}
	}
}

// turn takes the table's steps of this second, when there can be any.
func (t *table) turn(o Order) {
	w := t.w
	if since := w.now - t.ranAt; !w.changed && w.now < t.readyAt && since < tableRest && (since < tableLook || !w.hurts()) {
		return
	}
	w.changed = false
	t.learned = o.Model
	t.nominate(o.Victims)
	t.step()
	for _, p := range w.pods {
		if p.State == fleet.Starting && w.now >= p.Up && !p.Deleted && t.hasShare(p) {
			w.serves(p)
		}
	}
}

// hurts says that a node is hot, or turns clients away.
func (w *World) hurts() bool {
	for _, p := range w.pods {
		if p.CPU > w.o.Policy.Placement.HotspotCPU || p.Memory > w.o.Policy.Placement.HotspotMemory || p.Refused > 0 {
			return true
		}
	}
	return false
}

// nominate marks who is named to leave.
func (t *table) nominate(victims []fleet.NodeID) {
	for _, p := range t.w.pods {
		if p.State == fleet.Leaving {
			p.State = fleet.Serving
		}
	}
	for _, id := range victims {
		if p, ok := t.pods[id]; ok && p.State == fleet.Serving {
			p.State = fleet.Leaving
		}
	}
}

// hasShare says that a node which starts has all it was to get, or has waited long enough.
func (t *table) hasShare(p *Pod) bool {
	if t.w.now-p.Up >= mostStart {
		return true
	}
	if p.share == 0 {
		return false
	}
	for i := range t.table.Rows {
		if t.table.Rows[i].Next == p.ID {
			return false
		}
	}
	return true
}

// step asks the balancer's rules, and does what they say.
func (t *table) step() {
	w, now := t.w, clock(t.w.now)
	t.ranAt = w.now
	t.reckon()
	nodes := t.heartbeats()
	t.picture = placement.Observe(w.o.Policy, t.learned, nodes, len(t.part), now, t.picture)
	heat := t.cooling.Look(t.table, now, t.picture, w.o.Policy.Placement)
	next, changes := move.Step(t.table, move.Input{
		Members: t.members(nodes), Loads: t.picture.Loads, Fence: 1, Now: now, Heated: t.heated,
		Slow: t.waits.Pass(t.table, now, time.Hour), Heat: heat,
	})
	t.heated = move.NoteHeat(t.heated, changes, now)
	t.waits.Note(changes)
	t.cooling.Note(changes, heat, now)
	t.follow(next)
}

// members are the nodes that speak, as the leader sees them.
func (t *table) members(nodes []load.Node) []move.Member {
	members := make([]move.Member, 0, len(nodes))
	for i := range nodes {
		n := &nodes[i]
		id := n.Node
		m := move.Member{
			ID: id, URL: "ws://" + string(id), State: n.State, Stale: n.Stale, Weight: 1,
			Ready: func(s shard.ID) bool { return t.warm(s, id) },
		}
		if seen := t.picture.Of(id); seen != nil {
			m.Weight, m.Limit = seen.Weight, seen.Limit
		}
		members = append(members, m)
	}
	return members
}

// warm says that a node has had the time to warm up a shard that it is to own.
func (t *table) warm(s shard.ID, id fleet.NodeID) bool {
	return t.table.Rows[s].Next == id && t.w.now-t.since[s] >= int(t.w.o.Physics.Warm.Seconds())
}

// follow makes the world what the table says.
func (t *table) follow(next *shard.Table) {
	if next == t.table {
		t.readyAt = t.nextReady()
		return
	}
	for i := range next.Rows {
		was, is := t.table.Rows[i], next.Rows[i]
		if is.Next != was.Next {
			t.since[i] = t.w.now
		}
		if is.Owner != was.Owner {
			t.flip(i, t.pods[is.Owner])
		}
	}
	t.table = next
	t.readyAt = t.nextReady()
	for id, p := range t.pods {
		p.limit = next.Nodes[id].Limit
	}
}

// nextReady is when a shard that moves can next be flipped; never while none moves.
func (t *table) nextReady() int {
	at, warm := never, int(t.w.o.Physics.Warm.Seconds())
	for i := range t.table.Rows {
		if t.table.Rows[i].Next != "" {
			at = min(at, max(t.since[i]+warm, t.w.now+1))
		}
	}
	return at
}

// heartbeats are what the nodes say of themselves and of their shards.
func (t *table) heartbeats() []load.Node {
	w := t.w
	t.nodes = w.appendNodes(t.nodes[:0])
	clear(t.pods)
	for _, p := range w.pods {
		p.shards = p.shards[:0]
		if p.Heard(w.now) {
			t.pods[p.ID] = p
		}
	}
	messages := w.rate * w.o.Physics.Rate
	for s, p := range t.owner {
		if p != nil {
			p.shards = append(p.shards, load.Shard{
				ID: shard.ID(s), Connections: int(t.at[s] + 0.5), MessagesPerSecond: t.at[s] * messages, Ready: true,
			})
		}
	}
	for _, p := range w.pods {
		for _, x := range p.strands {
			p.shards = append(p.shards, load.Shard{
				ID: shard.ID(x.shard), Connections: int(x.count + 0.5), MessagesPerSecond: x.count * messages, Ready: true,
			})
		}
	}
	for _, s := range w.hot.shards {
		t.heat(s, w.hot.each*(w.hot.rate-1)*messages)
	}
	place := 0
	for _, p := range w.pods {
		if p.Heard(w.now) {
			t.nodes[place].Shards = p.shards
			place++
		}
	}
	return t.nodes
}

// heat adds a group's messages to its shard.
func (t *table) heat(s int, messages float64) {
	p := t.owner[s]
	if p == nil {
		return
	}
	for i := range p.shards {
		if p.shards[i].ID == shard.ID(s) {
			p.shards[i].MessagesPerSecond += messages
		}
	}
}
