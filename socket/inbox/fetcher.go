package inbox

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/tidegate/tidegate/internal/logkey"
)

// shardCost spaces the fetches from one broker by the number of shards in each, so that asking for a thousand shards
// takes a tenth of a core at most and a message waits 10 ms at most for it. Below pacedFrom shards it is not worth a timer.
const (
	shardCost = 10 * time.Microsecond
	pacedFrom = 100
)

// noBroker is the broker of a feed whose leader is to be found.
const noBroker int32 = -1

// feed is one shard's place in a fetcher.
type feed struct {
	reader *reader
	place  place
	broker int32
	// pause and retryAt delay the next attempt after a failure.
	pause   time.Duration
	retryAt time.Time
	removed bool
}

// fetcher reads many shards: one goroutine for each broker that leads any of them, each with one request open at a
// time. What is fetched of a shard is handled by one goroutine at a time, in order.
type fetcher struct {
	client *client
	topic  string
	tasks  *tasks
	logger *slog.Logger
	now    func() time.Time
	// handled decides what happens to a feed after its reader took something.
	handled func(*feed, verdict)
	// broken hears that the log does not hold the feed's offset any more; the feed is removed.
	broken func(*feed)
	wake   chan struct{}

	mu      sync.Mutex
	feeds   map[*reader]*feed
	workers map[int32]bool
	// failing counts the feeds that wait after a failure: a broker's death concerns many shards and is said once.
	failing int
}

func newFetcher(c *client, topic string, t *tasks, logger *slog.Logger, now func() time.Time) *fetcher {
	return &fetcher{
		client: c, topic: topic, tasks: t, logger: logger, now: now, wake: make(chan struct{}, 1),
		feeds: make(map[*reader]*feed), workers: make(map[int32]bool),
	}
}

// add begins to read a shard from an offset.
func (f *fetcher) add(r *reader, offset int64) {
	f.mu.Lock()
	f.feeds[r] = &feed{reader: r, place: place{shard: r.id, offset: offset, epoch: -1}, broker: noBroker}
	f.mu.Unlock()
	f.nudge()
}

// remove ends the reading of a shard; what is being handled is still finished.
func (f *fetcher) remove(r *reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if feed := f.feeds[r]; feed != nil {
		f.drop(feed)
	}
}

// drop forgets a feed. The caller holds the lock.
func (f *fetcher) drop(each *feed) {
	f.heal(each)
	each.removed = true
	delete(f.feeds, each.reader)
}

// heal ends a feed's delay. The caller holds the lock.
func (f *fetcher) heal(each *feed) {
	if each.pause > 0 {
		each.pause = 0
		f.failing--
		if f.failing == 0 {
			f.logger.Info("all shards can be read again", slog.String(logkey.Topic, f.topic))
		}
	}
}

func (f *fetcher) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// assign gives every feed to the goroutine of its leader, until ctx ends.
func (f *fetcher) assign(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		case <-timer.C:
		}
		if wait, again := f.place(ctx); again {
			timer.Reset(wait)
		}
	}
}

// place finds leaders for the feeds that have none and says when to try again, if at all.
func (f *fetcher) place(ctx context.Context) (time.Duration, bool) {
	due, wait, failed := f.due()
	if len(due) == 0 {
		return wait, wait > 0
	}
	client, err := f.client.open(ctx)
	if err == nil && failed {
		err = client.RefreshMetadata(f.topic)
	}
	for _, each := range due {
		f.lead(client, each, err)
	}
	return backoffFirst, true
}

// due lists the feeds to place now, how long the next of the others waits, and whether any of them failed before.
func (f *fetcher) due() (due []*feed, wait time.Duration, failed bool) {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, each := range f.feeds {
		if each.broker != noBroker {
			continue
		}
		if left := each.retryAt.Sub(now); left > 0 {
			if wait == 0 || left < wait {
				wait = left
			}
			continue
		}
		failed = failed || each.pause > 0
		due = append(due, each)
	}
	return due, wait, failed
}

// lead gives a feed to its leader's goroutine, or delays it.
func (f *fetcher) lead(client sarama.Client, each *feed, err error) {
	var leader *sarama.Broker
	var epoch int32
	if err == nil {
		leader, epoch, err = client.LeaderAndEpoch(f.topic, int32(each.place.shard))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if each.removed {
		return
	}
	if err != nil {
		f.delay(each, err)
		return
	}
	each.broker, each.place.epoch = leader.ID(), epoch
	if !f.workers[each.broker] {
		f.workers[each.broker] = true
		f.tasks.start(func(ctx context.Context) { f.work(ctx, client, leader.ID()) })
	}
}

// delay takes a feed from its broker and tries it again later. The caller holds the lock.
func (f *fetcher) delay(each *feed, err error) {
	if each.pause == 0 {
		if f.failing == 0 {
			f.logger.Warn("shards cannot be read; trying again",
				slog.Int(logkey.Shard, int(each.place.shard)), slog.Int64(logkey.Offset, each.place.offset), slog.String(logkey.Err, err.Error()))
		}
		f.failing++
	}
	each.broker = noBroker
	each.pause = backoff(each.pause)
	each.retryAt = f.now().Add(each.pause)
	f.nudge()
}
