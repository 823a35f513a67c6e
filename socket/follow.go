package socket

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/shard"
)

const (
	// lookEvery is how often the node looks whether what it reads is still what it should read.
	lookEvery = time.Second
	// settle is how long a node is a member without a share before it counts as serving: the fleet may need none of it,
	// and the leader gives a newcomer its share within a step or two.
	settle = 3 * time.Second
	// forgetEvery is how often old session starts are forgotten.
	forgetEvery = 30 * time.Second
)

// decodeTable reads a table and refuses one that is not about this fleet's inbox.
func (n *node) decodeTable(body []byte) (*shard.Table, error) {
	t, err := shard.Decode(body)
	if err != nil {
		return nil, err
	}
	if t.Fleet != n.o.Fleet || len(t.Rows) != n.shards {
		return nil, fmt.Errorf("table of %s with %d shards: this node is of %s with %d", t.Fleet, len(t.Rows), n.o.Fleet, n.shards)
	}
	return t, nil
}

// follower acts on the table: it reads the shards that are this node's, or will be, or still have sessions here, and
// ends the starting. It belongs to one goroutine.
type follower struct {
	node     *node
	table    *shard.Table // the newest one that was acted on
	serving  map[shard.ID]struct{}
	began    time.Time
	member   time.Time // since when the table knows this node
	forgetAt time.Time
}

func (f *follower) run() {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	f.began = f.node.now()
	for {
		changed, ready, stirred := f.node.table.Changed(), f.node.readiness.changed(), f.node.stirred.changed()
		f.look(f.node.now())
		select {
		case <-f.node.ctx.Done():
			return
		case <-ticker.C:
		case <-changed:
		case <-ready:
		case <-stirred:
		}
	}
}

func (f *follower) look(now time.Time) {
	n := f.node
	t, _, known := n.table.Latest()
	if !known {
		return
	}
	if wanted := n.wanted(t); !maps.Equal(wanted, f.serving) {
		f.serving = maps.Clone(wanted)
		n.inbox.Serve(wanted)
	}
	if now.After(f.forgetAt) {
		f.forgetAt = now.Add(forgetEvery)
		n.starts.keep(f.serving, now.Add(-n.store.TTL()))
	}
	if !tellsTheSame(f.table, t) {
		n.reporter.Changed()
	}
	f.table = t
	if f.settled(t, now) && n.lifecycle.serve() {
		n.logger.Info("node serves", slog.Uint64(logkey.Table, t.Version), slog.Duration(logkey.Elapsed, now.Sub(f.began)))
		n.reporter.Changed()
	}
}

// tellsTheSame reports whether two tables differ in nothing that a heartbeat must hurry to answer: every node hears of every
// change of limits, and all would speak at once.
func tellsTheSame(a, b *shard.Table) bool {
	if a == b {
		return true
	}
	return a != nil && a.Fence == b.Fence && slices.Equal(a.Rows, b.Rows) && maps.EqualFunc(a.Nodes, b.Nodes, func(x, y shard.Node) bool {
		x.Limit = y.Limit
		return x == y
	})
}

// serves reports whether this node takes the clients of a row's shard: as its owner, or as its next owner once it is
// ready.
func (n *node) serves(row shard.Row) bool { return row.Owner == n.id || row.Next == n.id }

// wanted are the shards to read.
func (n *node) wanted(t *shard.Table) map[shard.ID]struct{} {
	set := map[shard.ID]struct{}{}
	for i, row := range t.Rows {
		if n.serves(row) {
			set[shard.ID(i)] = struct{}{}
		}
	}
	for id := range n.residents.shards() {
		set[id] = struct{}{}
	}
	return set
}

// settled reports whether the node's start is over: it owns its share and has read it, or gets none, or has tried for
// long enough.
func (f *follower) settled(t *shard.Table, now time.Time) bool {
	n := f.node
	if n.lifecycle.state() != fleet.Starting {
		return false
	}
	if now.Sub(f.began) >= n.o.StartTimeout {
		return true
	}
	if _, member := t.Nodes[n.id]; !member {
		f.member = time.Time{}
		return false
	}
	if f.member.IsZero() {
		f.member = now
	}
	owns := 0
	for i, row := range t.Rows {
		if row.Next == n.id || row.Owner == n.id && !n.inbox.Ready(shard.ID(i)) {
			return false
		}
		if row.Owner == n.id {
			owns++
		}
	}
	return owns > 0 || now.Sub(f.member) >= settle
}
