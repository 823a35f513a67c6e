package session

import (
	"context"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tidegate/tidegate/internal/logkey"
)

const (
	// slots is how many seconds the records of a node are spread over: each is looked at every 15 s.
	slots = 15
	// refresh is how old a record may grow when nothing changes: well inside its life.
	refresh = 100 * time.Second
	// batch is how many records go in one round trip.
	batch = 256
	// maxClosed bounds the final records that wait for a Redis that is away; they are hints.
	maxClosed = 16384
)

// Live is a session that a node holds. Record is called from the keeper's goroutine and must not block.
type Live interface {
	Record() Record
}

// Writer is what the keeper writes through; Store implements it.
type Writer interface {
	Put(ctx context.Context, records []Record) error
	Marker(ctx context.Context) (Marker, error)
}

// Keeper keeps the records of a node's sessions fresh: every 15 s what has changed, every 100 s the rest, at close a
// last time, and all of them when Redis has lost its data or was away and may have. Its methods are safe for concurrent use.
type Keeper struct {
	store  Writer
	now    func() time.Time
	logger *slog.Logger
	seed   maphash.Seed

	mu     sync.Mutex // guards slots, their entries and closed
	slots  [slots]map[*kept]struct{}
	closed []Record

	// The fields below belong to the goroutine that runs.
	turn    int
	marker  string
	lost    bool
	failing bool
}

// kept is one session and what Redis was last told of it.
type kept struct {
	live    Live
	slot    int
	written Record
	at      time.Time
}

// NewKeeper makes a keeper; the clock must be monotonic, as time.Now is.
func NewKeeper(store Writer, now func() time.Time, logger *slog.Logger) *Keeper {
	k := &Keeper{store: store, now: now, logger: logger, seed: maphash.MakeSeed()}
	for i := range k.slots {
		k.slots[i] = map[*kept]struct{}{}
	}
	return k
}

// Track begins to keep a session whose record was just written (or, with fresh false, could not be). The returned
// function ends it and writes the last record soon.
func (k *Keeper) Track(live Live, fresh bool) (closed func()) {
	record := live.Record()
	held := &kept{live: live, slot: int(maphash.String(k.seed, record.Client) % slots)}
	if fresh {
		held.written, held.at = record, k.now()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.slots[held.slot][held] = struct{}{}
	return func() { k.untrack(held) }
}

func (k *Keeper) untrack(held *kept) {
	last := held.live.Record()
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, found := k.slots[held.slot][held]; !found {
		return
	}
	delete(k.slots[held.slot], held)
	if len(k.closed) < maxClosed {
		k.closed = append(k.closed, last)
	}
}

// Run writes until ctx ends. Call Flush afterwards for what is left.
func (k *Keeper) Run(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			k.tick(ctx)
		}
	}
}

// tick writes what is due in this second.
func (k *Keeper) tick(ctx context.Context) {
	marker, err := k.store.Marker(ctx)
	if err != nil {
		k.note(ctx, err)
		return
	}
	if k.marker != "" && marker.Value != k.marker && !k.lost {
		k.logger.Warn("Redis has lost the sessions; they are written anew")
		k.lost = true
	}
	// The mark may outlive an outage that the last writes before it did not: Redis syncs its log once a second.
	k.lost = k.lost || k.failing
	k.marker = marker.Value
	k.turn = (k.turn + 1) % slots
	if k.lost {
		err = k.write(ctx, k.slots[:], func(*kept, Record) bool { return true })
		k.lost = err != nil
	} else {
		err = k.write(ctx, k.slots[k.turn:k.turn+1], k.due)
	}
	k.note(ctx, err)
}

// due reports whether a session is to be written now that it is its turn.
func (k *Keeper) due(held *kept, record Record) bool {
	return record != held.written || k.now().Sub(held.at) >= refresh
}

// Flush writes the final records and every session that has changed, once.
func (k *Keeper) Flush(ctx context.Context) error {
	return k.write(ctx, k.slots[:], func(held *kept, record Record) bool { return record != held.written })
}

// write sends the closed sessions' records and those of the slots that are due. What fails stays due.
func (k *Keeper) write(ctx context.Context, among []map[*kept]struct{}, due func(*kept, Record) bool) error {
	closed, sessions, records := k.take(among, due)
	for part := range slices.Chunk(closed, batch) {
		if err := k.store.Put(ctx, part); err != nil {
			k.requeue(closed)
			return err
		}
	}
	for start := 0; start < len(records); start += batch {
		end := min(start+batch, len(records))
		if err := k.store.Put(ctx, records[start:end]); err != nil {
			return err
		}
		k.wrote(sessions[start:end], records[start:end])
	}
	return nil
}

func (k *Keeper) take(among []map[*kept]struct{}, due func(*kept, Record) bool) (closed []Record, sessions []*kept, records []Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	closed, k.closed = k.closed, nil
	for _, slot := range among {
		for held := range slot {
			if record := held.live.Record(); due(held, record) {
				sessions, records = append(sessions, held), append(records, record)
			}
		}
	}
	return closed, sessions, records
}

func (k *Keeper) requeue(closed []Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = append(closed[:min(len(closed), maxClosed-min(len(k.closed), maxClosed))], k.closed...)
}

func (k *Keeper) wrote(sessions []*kept, records []Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, held := range sessions {
		held.written, held.at = records[i], k.now()
	}
}

// note logs the first failure of an outage and its end.
func (k *Keeper) note(ctx context.Context, err error) {
	switch {
	case err == nil && k.failing:
		k.failing = false
		k.logger.Info("session records are written again")
	case err != nil && !k.failing && ctx.Err() == nil:
		k.failing = true
		k.logger.Warn("session records cannot be written; sessions go on from their tokens", slog.Any(logkey.Err, err))
	}
}
