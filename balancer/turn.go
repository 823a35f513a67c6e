package balancer

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/balancer/move"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/shard"
)

// rewriteEvery is how often a table is written again though it did not change: a Redis that lost it gets it back.
const rewriteEvery = 5 * time.Second

// restoreTable takes the newest table known: Redis's, or the one that this replica heard of before Redis lost it.
func (h *helm) restoreTable(ctx context.Context) error {
	stored, err := h.read(ctx, h.tables)
	if err != nil {
		return err
	}
	newest, _, _ := h.k.b.tables.Latest(h.k.id)
	if stored.Found {
		table, err := decodeTable(h.k.id, stored.Body)
		if err != nil {
			h.k.logger.Error("the stored table cannot be used", slog.Any(logkey.Err, err))
		} else if newest == nil || table.Fence > newest.Fence || table.Fence == newest.Fence && table.Version > newest.Version {
			newest = table
		}
	}
	if newest != nil {
		h.adopt(newest)
	}
	return nil
}

// adopt puts a table under this term's token, which fences out the last leader; its version stays.
func (h *helm) adopt(table *shard.Table) {
	h.unsaved = table.Clone()
	h.unsaved.Fence = h.fence
}

// turn takes every step of every move that can be taken now, and stores the table before anybody acts on it.
func (h *helm) turn(ctx context.Context, p policy.Policy, f load.Fleet) error {
	if h.table == nil && h.unsaved == nil && !h.found(p, f) {
		return nil
	}
	if h.unsaved != nil {
		// Whether the last try reached Redis is not known: the same again is safe, anything else is not.
		if err := h.save(ctx, h.unsaved, f.Now); err != nil {
			return err
		}
	}
	heat := h.cooling.Look(h.table, f.Now, h.k.picture, p.Placement)
	next, changes := move.Step(h.table, move.Input{
		Members: h.k.members(p, f), Loads: h.k.picture.Loads, Fence: h.fence, Now: f.Now, Heated: h.heated, Heat: heat,
		Slow: h.waits.Pass(h.table, f.Now, h.k.book.Watched()), Limits: h.limits,
	})
	h.limits.Note(h.table, next, f.Now)
	h.heated = move.NoteHeat(h.heated, changes, f.Now)
	h.cooling.Note(changes, heat, f.Now)
	h.waits.Note(changes)
	stale := f.Now.Sub(h.savedAt)
	if next == h.table && (next.Version == 0 || stale >= 0 && stale < rewriteEvery) {
		return nil
	}
	h.report(next, changes)
	return h.save(ctx, next, f.Now)
}

// found makes the first table of a fleet, once every living node had the time to speak. Nodes that already act on one
// know of it though Redis does not: then it is rebuilt from what they say.
func (h *helm) found(p policy.Policy, f load.Fleet) bool {
	if h.k.book.Watched() <= p.StaleAfter() {
		return false // a newcomer may be heard before those whose shards it would be given
	}
	beats := make([]load.Heartbeat, 0, len(f.Nodes))
	acting := false
	for i := range f.Nodes {
		beats = append(beats, f.Nodes[i].Heartbeat)
		acting = acting || f.Nodes[i].TableVersion > 0
	}
	if acting {
		h.k.logger.Warn("Redis holds no table; it is rebuilt from the heartbeats", slog.Int(logkey.Count, len(beats)))
		h.adopt(move.Rebuild(h.k.id, h.k.b.Shards, beats))
		return true
	}
	h.table = move.New(h.k.id, h.k.b.Shards)
	h.savedAt = f.Now
	return true
}

// save stores a table. Until that has succeeded for sure it stays unsaved, and nothing else is written.
func (h *helm) save(ctx context.Context, table *shard.Table, now time.Time) error {
	h.unsaved = table
	body, err := table.Encode()
	if err != nil {
		return err
	}
	if err := h.tables.Write(ctx, h.fence, table.Version, body); err != nil {
		return err
	}
	h.table, h.unsaved, h.savedAt = table, nil, now
	return h.mark(ctx, now)
}

// mark says, once the fleet is served, since when this Redis knows its sessions.
func (h *helm) mark(ctx context.Context, now time.Time) error {
	if !slices.ContainsFunc(h.table.Rows, func(r shard.Row) bool { return r.Owner != "" }) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, h.k.b.Timeout)
	defer cancel()
	return h.k.b.Redis.SetNX(ctx, keys.Marker(h.k.id), strconv.FormatInt(now.UnixMilli(), 10), 0).Err()
}

// report logs what moves, one line a table and not one a shard.
func (h *helm) report(next *shard.Table, changes []move.Change) {
	if len(changes) == 0 {
		return
	}
	h.k.b.metrics.moved(h.k.id, changes)
	counts := map[string]int{}
	for _, c := range changes {
		counts[c.Kind.String()+" "+c.Reason]++
	}
	h.k.logger.Info("shards move", slog.Uint64(logkey.Table, next.Version), slog.Int(logkey.Count, len(changes)), slog.Any("changes", counts))
}

// members are the nodes as the table's rules see them. A shadow tells nobody what it may take.
func (k *keeper) members(p policy.Policy, f load.Fleet) []move.Member {
	victims := k.standing().Victims
	members := make([]move.Member, 0, len(f.Nodes)+len(k.ghosts))
	for i := range f.Nodes {
		n := &f.Nodes[i]
		if _, heard := k.book.Node(n.Node); !heard {
			continue // of a node that is only named by the table nothing is known
		}
		state := n.State
		if state == fleet.Starting && slices.Contains(victims, n.Node) {
			state = fleet.Leaving
		}
		m := move.Member{
			ID: n.Node, URL: n.URL, State: state, Dead: k.book.Over(n.Node), Stale: n.Stale,
			Old: f.Cluster != nil && f.Cluster.Pods[n.Node].Old, Ready: ready(n.Shards),
		}
		if known := k.picture.Of(n.Node); known != nil {
			if m.Weight = known.Weight; p.Mode != policy.Shadow {
				m.Limit = known.Limit
			}
		}
		members = append(members, m)
	}
	for _, id := range k.ghosts {
		members = append(members, move.Member{ID: id, Dead: true, State: fleet.Gone})
	}
	return members
}

// ready looks shards up in a heartbeat's list.
func ready(shards []load.Shard) func(shard.ID) bool {
	warm := make(map[shard.ID]struct{}, len(shards))
	for _, s := range shards {
		if s.Ready {
			warm[s.ID] = struct{}{}
		}
	}
	return func(id shard.ID) bool {
		_, ok := warm[id]
		return ok
	}
}
