package balancer

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tidegate/tidegate/balancer/decisions"
	"github.com/tidegate/tidegate/balancer/page"
	"github.com/tidegate/tidegate/internal/beat"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fenced"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/shard"
)

// feedPoll is how often tables and decisions are read besides the announcements of changes.
const feedPoll = time.Second

// Balancer is one replica. Handler and Admin may be used before and while Run runs.
type Balancer struct {
	Deps
	page      *page.Feed
	tables    *fenced.Family[*shard.Table]
	decisions *fenced.Family[decision.Decision]
	metrics   *metrics
	stop      context.CancelFunc // ends the feeds

	office atomic.Pointer[office]
	wake   chan struct{} // a term has begun: tick now
	ready  atomic.Bool

	ticking sync.Mutex // held while a tick begins; guards what follows
	keepers map[fleet.ID]*keeper
	outage  bool   // the fleets could not be read, so that it is logged once
	strange string // what was last said about names that are no fleet's

	views sync.Map // fleet.ID → *view, what handlers read
}

// New makes a replica. Its feeds are opened when they are first needed and end when Run returns.
func New(d Deps) *Balancer {
	d = d.withDefaults()
	ctx, stop := context.WithCancel(context.Background())
	table := fenced.Kind[*shard.Table]{Key: keys.Table, Decode: decodeTable, Timeout: d.Timeout, Poll: feedPoll}
	return &Balancer{
		Deps:      d,
		page:      page.NewFeed(d.History),
		tables:    fenced.FollowFleets(ctx, d.Redis, table, d.Logger),
		decisions: fenced.FollowFleets(ctx, d.Redis, decisions.Kind(d.Timeout, feedPoll), d.Logger),
		metrics:   newMetrics(d.Registry),
		stop:      stop,
		wake:      make(chan struct{}, 1),
		keepers:   map[fleet.ID]*keeper{},
	}
}

// Run takes part in elections, ticks and follows until ctx ends; then it gives up the lead, ends its event streams and
// returns nil. An error means that this replica can never lead.
func (b *Balancer) Run(ctx context.Context) error {
	defer func() {
		b.ready.Store(false)
		b.page.Close()
		b.stop()
		b.tables.Wait()
		b.decisions.Wait()
	}()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Elector.Run(ctx, b.lead) })
	group.Go(func() error {
		b.loop(ctx)
		return nil
	})
	return group.Wait()
}

// loop begins a tick each Interval whether or not the last one has ended: a slow fleet holds up nobody but itself. It
// returns when all that it began has ended.
func (b *Balancer) loop(ctx context.Context) {
	ticker := time.NewTicker(b.Interval)
	defer ticker.Stop()
	var ticks sync.WaitGroup
	defer ticks.Wait()
	for {
		ticks.Go(b.begin(ctx))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-b.wake:
		}
	}
}

// Tick reads every fleet once, and when this replica leads decides and moves. A fleet whose last tick is still at work is
// left out. Run does the same each Interval; tests may call it themselves, while Run does not run.
func (b *Balancer) Tick(ctx context.Context) {
	finish := b.begin(ctx)
	finish()
}

// begin starts the tick of every fleet that is not at work. The caller must call finish, which waits for them.
func (b *Balancer) begin(ctx context.Context) (finish func()) {
	b.ticking.Lock()
	defer b.ticking.Unlock()
	in := b.office.Load()
	b.metrics.lead(in != nil)
	readable := b.discover(ctx)
	var began sync.WaitGroup
	for _, k := range b.keepers {
		if !k.busy.CompareAndSwap(false, true) {
			continue
		}
		done := in.employ()
		began.Go(func() {
			defer done()
			defer k.busy.Store(false)
			k.tick(ctx, in, readable)
		})
	}
	return func() {
		began.Wait()
		if readable {
			b.ready.Store(true)
		}
	}
}

// discover learns which fleets there are; without Redis those known stay.
func (b *Balancer) discover(ctx context.Context) (readable bool) {
	ctx, cancel := context.WithTimeout(ctx, b.Timeout)
	defer cancel()
	ids, bad, err := beat.Fleets(ctx, b.Redis)
	if failed := err != nil; failed != b.outage {
		b.outage = failed
		if failed {
			b.Logger.Warn("Redis cannot be read: decisions hold and no shard moves", slog.Any(logkey.Err, err))
		} else {
			b.Logger.Info("Redis can be read again")
		}
	}
	b.complain(bad)
	for _, id := range ids {
		if _, known := b.keepers[id]; !known {
			b.keepers[id] = newKeeper(b, id)
		}
	}
	return err == nil
}

// complain names what is no fleet once, not at every tick.
func (b *Balancer) complain(bad []error) {
	text := joined(bad)
	if text != b.strange && text != "" {
		b.Logger.Warn("a name in the set of fleets is no fleet's", slog.String(logkey.Key, keys.Fleets), slog.String(logkey.Err, text))
	}
	b.strange = text
}
