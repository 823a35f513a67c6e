package balancer

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/balancer/cluster"
	"github.com/tidegate/tidegate/balancer/placement"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/balancer/roll"
	"github.com/tidegate/tidegate/internal/beat"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fenced"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/shard"
)

// keeper looks after one fleet: it observes on every replica, and governs on the one that leads.
// Only one tick at a time works on it: the one that has set busy.
type keeper struct {
	b      *Balancer
	id     fleet.ID
	logger *slog.Logger
	busy   atomic.Bool

	view    cluster.View // what this tick goes by
	book    roll.Book
	picture placement.Picture
	ghosts  []fleet.NodeID // nodes of the table that are dead though no heartbeat of theirs is known

	helm     *helm  // nil while another replica leads
	badBeats string // what was last said about bad heartbeats
	trouble  string // what last kept the leader from its work
}

// view is what handlers read of a fleet.
type view struct {
	model    load.Fleet
	decision decision.Decision
	table    *shard.Table // nil before there is one
}

func newKeeper(b *Balancer, id fleet.ID) *keeper {
	return &keeper{b: b, id: id, logger: b.Logger.With(slog.String(logkey.Fleet, id.String()))}
}

// tick reads, decides, moves and publishes, as far as this replica may.
func (k *keeper) tick(ctx context.Context, in *office, readable bool) {
	began := time.Now()
	p := k.look()
	k.observe(ctx, p, readable)
	k.takeHelm(in)
	k.ghosts = k.book.Expect(p, k.named())
	f := k.model(p)
	k.measure(p, f)
	if in != nil {
		writeCtx, cancel := in.bind(ctx)
		defer cancel()
		var err error
		f, err = k.govern(writeCtx, p, f)
		k.note(in, err)
		ctx = writeCtx
	}
	k.forget(ctx, in)
	k.publish(f)
	k.b.metrics.stepSeconds.Observe(time.Since(began).Seconds())
}

// look takes what is known besides heartbeats, once for the whole tick, and returns the policy to go by.
func (k *keeper) look() policy.Policy {
	k.view = k.b.Facts.Look(k.id)
	if k.view.Policy != nil {
		return *k.view.Policy
	}
	return k.b.Policies(k.id)
}

// model is the fleet at the newest reading, as what stands makes it.
func (k *keeper) model(p policy.Policy) load.Fleet {
	f := k.book.Fleet(p, k.id, k.standing())
	f.NoPolicy = k.view.NoPolicy
	return f
}

// observe reads the heartbeats, hears what Kubernetes says of them, and finds out who died.
func (k *keeper) observe(ctx context.Context, p policy.Policy, readable bool) {
	heard := readable && k.listen(ctx, p)
	if !heard {
		k.book.Missed()
	}
	k.book.See(p, k.view.Cluster)
	if heard {
		judge(ctx, &k.book, p, k.b.ProbeTimeout, k.b.Probe)
	}
}

// listen reads the heartbeats and tells whether that succeeded.
func (k *keeper) listen(ctx context.Context, p policy.Policy) bool {
	ctx, cancel := context.WithTimeout(ctx, k.b.Timeout)
	defer cancel()
	beats, now, bad, err := k.b.Source.Heartbeats(ctx, k.id)
	if err != nil {
		k.complain([]error{err})
		return false
	}
	bad = append(bad, k.book.Read(p, now, beats)...)
	k.b.metrics.badBeats.WithLabelValues(k.id.String()).Add(float64(len(bad)))
	k.complain(bad)
	return true
}

// complain names bad heartbeats once, not at every tick.
func (k *keeper) complain(bad []error) {
	text := joined(bad)
	if text != k.badBeats && text != "" {
		k.logger.Warn("heartbeats cannot be used; their nodes count as they last were",
			slog.Int(logkey.Count, len(bad)), slog.String(logkey.Err, text))
	}
	k.badBeats = text
}

// takeHelm begins to govern when a term has begun, and ends when it has ended.
func (k *keeper) takeHelm(in *office) {
	switch {
	case in == nil:
		k.helm = nil
	case k.helm == nil || k.helm.fence != in.fence:
		k.helm = newHelm(k, in.fence)
	}
}

// decision is the newest one: the leader's own, else the one that Redis told of; zero before there is one.
func (k *keeper) decision() decision.Decision {
	if k.helm != nil && k.helm.restored {
		return k.helm.shown
	}
	d, _, _ := k.b.decisions.Latest(k.id)
	return d
}

// table is the newest one, nil before there is one.
func (k *keeper) table() *shard.Table {
	if k.helm != nil && k.helm.table != nil {
		return k.helm.table
	}
	table, _, _ := k.b.tables.Latest(k.id)
	return table
}

func (k *keeper) standing() roll.Standing {
	d := k.decision()
	if d.Sequence == 0 {
		return roll.Standing{} // what is shown where nothing was ever decided asks for nobody
	}
	return roll.Standing{Desired: d.Desired, Victims: d.Victims}
}

// named are the nodes that the table knows.
func (k *keeper) named() []fleet.NodeID {
	if table := k.table(); table != nil {
		return slices.Sorted(maps.Keys(table.Nodes))
	}
	return nil
}

// measure keeps the picture on followers too, so that a new leader does not start from single readings.
func (k *keeper) measure(p policy.Policy, f load.Fleet) {
	if !f.Reachable {
		return
	}
	shards := k.b.Shards
	if table := k.table(); table != nil {
		shards = len(table.Rows)
	}
	k.picture = placement.Observe(p, k.decision().Working.Capacity, f.Nodes, shards, f.Now, k.picture)
}

// forget drops the nodes that are over and hold no shard; the leader removes their heartbeats.
func (k *keeper) forget(ctx context.Context, in *office) {
	table := k.table()
	holding := holders(table)
	left := k.book.Drop(func(id fleet.NodeID) bool { _, holds := holding[id]; return holds })
	for _, id := range left {
		k.logger.Info("a node is gone", slog.String(logkey.Node, string(id)))
	}
	if len(left) == 0 || in == nil || in.ctx.Err() != nil {
		return // what Redis holds is the leader's business
	}
	// All in one call: a rack that died must not take a call's timeout for each of its nodes. Heartbeats that stay behind are
	// ignored here and found by the next leader.
	ctx, cancel := context.WithTimeout(ctx, k.b.Timeout)
	defer cancel()
	if err := beat.Forget(ctx, k.b.Redis, k.id, left...); err != nil {
		k.logger.Warn("heartbeats of nodes that are gone stay in Redis", slog.Int(logkey.Count, len(left)), slog.Any(logkey.Err, err))
	}
}

// holders are the nodes that some row of the table names.
func holders(table *shard.Table) map[fleet.NodeID]struct{} {
	if table == nil {
		return nil
	}
	holding := make(map[fleet.NodeID]struct{}, len(table.Nodes))
	for _, row := range table.Rows {
		holding[row.Owner] = struct{}{}
		holding[row.Next] = struct{}{}
	}
	return holding
}

// note ends the term of a leader whose write was refused, and logs other trouble when it begins and when it ends.
func (k *keeper) note(in *office, err error) {
	if errors.Is(err, fenced.ErrFenced) {
		k.b.metrics.fenced.Inc()
		k.logger.Warn("this replica's term is over", slog.Uint64(logkey.Fence, in.fence), slog.Any(logkey.Err, err))
		k.helm = nil
		in.resign()
		return
	}
	if err != nil && in.ctx.Err() != nil {
		return
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch {
	case text != "" && k.trouble == "":
		k.logger.Warn("the leader's work waits", slog.Any(logkey.Err, err))
	case text == "" && k.trouble != "":
		k.logger.Info("the leader's work goes on")
	}
	k.trouble = text
}

// joined writes errors as one line; empty for none.
func joined(errs []error) string {
	if err := errors.Join(errs...); err != nil {
		return err.Error()
	}
	return ""
}
