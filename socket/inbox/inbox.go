package inbox

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/outbox"
)

// Writer writes the markers of warm-ups: an outbox.
type Writer interface {
	Produce(ctx context.Context, id shard.ID, key string, value []byte) (outbox.Receipt, error)
}

// Config says what an inbox reads and how much it remembers.
type Config struct {
	Kafka kafka.Options
	Topic string
	// Shards is the topic's partition count.
	Shards int
	// Window is the resume window.
	Window time.Duration
	// Node names this node in its markers.
	Node   fleet.NodeID
	Writer Writer
	Events Events
	// Group is the consumer group under which progress is committed, for monitoring only; empty commits nothing.
	Group string
	// CommitEvery is how often; default 5s.
	CommitEvery time.Duration
	// MaxBytes bounds the payloads in memory; default 256 MiB. What was dropped is read from the log.
	MaxBytes int64
	// MaxMessages bounds the messages remembered; default 1,000,000, about 200 bytes each. Beyond, repeats of the
	// oldest are no longer recognised.
	MaxMessages int64
	Logger      *slog.Logger
	// Now is the node's clock; default time.Now.
	Now func() time.Time
}

const (
	defaultBytes    = 256 << 20
	defaultMessages = 1_000_000
	defaultCommit   = 5 * time.Second
	// warmingAtOnce bounds the markers and look-ups under way.
	warmingAtOnce = 32
)

func (c *Config) complete() error {
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultBytes
	}
	if c.MaxMessages == 0 {
		c.MaxMessages = defaultMessages
	}
	if c.CommitEvery == 0 {
		c.CommitEvery = defaultCommit
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	switch {
	case c.Topic == "", c.Node == "", c.Writer == nil, c.Events == nil, c.Logger == nil:
		return errors.New("the inbox needs a topic, a node, a writer, events and a logger")
	case c.Shards < 1 || c.Window <= 0 || c.MaxBytes < 0 || c.MaxMessages < 1:
		return errors.New("the inbox needs at least one shard, a window and positive bounds")
	}
	return nil
}

// Inbox reads the shards that a node serves. Its methods are safe for concurrent use; none but Attach (for an offset
// that this node has not read yet) and Close waits for Kafka.
type Inbox struct {
	config Config
	seed   maphash.Seed
	budget *budget
	tasks  *tasks
	// live has its own connections: a fetch that waits for messages would delay every other request.
	liveClient, lookupClient *client
	live, warm               *fetcher
	lookup                   *lookup
	places                   chan struct{}

	mu      sync.Mutex
	readers map[shard.ID]*reader
}

// New starts an inbox that serves nothing yet; it does not wait for Kafka to answer. An error names what cannot be used.
func New(c Config) (*Inbox, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	fetching, err := c.Kafka.Fetcher()
	if err != nil {
		return nil, err
	}
	looking, err := c.Kafka.Lookup()
	if err != nil {
		return nil, err
	}
	i := &Inbox{
		config: c, seed: maphash.MakeSeed(), budget: &budget{maxBytes: c.MaxBytes, maxItems: c.MaxMessages}, tasks: newTasks(),
		liveClient:   &client{brokers: c.Kafka.Brokers, config: fetching},
		lookupClient: &client{brokers: c.Kafka.Brokers, config: looking},
		places:       make(chan struct{}, warmingAtOnce), readers: make(map[shard.ID]*reader),
	}
	i.lookup = &lookup{client: i.lookupClient, topic: c.Topic, now: c.Now}
	i.live = newFetcher(i.liveClient, c.Topic, i.tasks, c.Logger, c.Now)
	i.warm = newFetcher(i.lookupClient, c.Topic, i.tasks, c.Logger, c.Now)
	i.live.handled, i.live.broken = func(*feed, verdict) {}, i.restart
	i.warm.handled, i.warm.broken = i.warmed, i.restart
	i.tasks.start(i.live.assign)
	i.tasks.start(i.warm.assign)
	i.tasks.start(i.tick)
	i.tasks.start(i.commit)
	return i, nil
}

// Serve says which shards to read from now on: new ones are warmed up, others end. The set is not kept.
func (i *Inbox) Serve(set map[shard.ID]struct{}) {
	var ended, begun []*reader
	i.mu.Lock()
	for id, r := range i.readers {
		if _, wanted := set[id]; !wanted {
			delete(i.readers, id)
			ended = append(ended, r)
		}
	}
	for id := range set {
		if _, there := i.readers[id]; !there && int(id) < i.config.Shards && id >= 0 {
			r := newReader(id, &i.config, i.lookup, i.tasks)
			i.readers[id] = r
			begun = append(begun, r)
		}
	}
	i.mu.Unlock()
	for _, r := range ended {
		i.end(r)
	}
	for _, r := range begun {
		i.tasks.start(func(ctx context.Context) { i.warmUp(ctx, r) })
	}
	if len(ended) > 0 {
		i.config.Events.ReadyChanged()
	}
}

// end stops a reader and tells whose subscriptions ended with it.
func (i *Inbox) end(r *reader) {
	subs := r.stop()
	i.warm.remove(r)
	i.live.remove(r)
	if len(subs) > 0 {
		i.config.Events.ShardStopped(r.id, subs)
	}
}

// Ready says whether this node can deliver what a shard holds.
func (i *Inbox) Ready(id shard.ID) bool {
	r := i.reader(id)
	return r != nil && r.is(ready)
}

// End is the last offset of a shard that was read and handed out; None when the node does not read it. What one client
// has received is its subscription's Position.
func (i *Inbox) End(id shard.ID) int64 {
	if r := i.reader(id); r != nil {
		return r.delivered.Load()
	}
	return None
}

func (i *Inbox) reader(id shard.ID) *reader {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.readers[id]
}

// Attach subscribes a client that has received everything up to an offset (None: nothing). Deliveries start with
// Begin, so that the caller can tell the client first how it starts. ErrNotReady when the shard is not served here or
// not warm; another error when Kafka could not say whether the log reaches the offset.
func (i *Inbox) Attach(client string, from int64, to Receiver) (*Subscription, Start, error) {
	r := i.reader(shard.Of(client, i.config.Shards))
	if r == nil {
		return nil, Start{}, ErrNotReady
	}
	aheadOfLog := false
	if r.beyond(from) {
		// Another owner may have read further than this node, or the offset belongs to a log that is gone.
		end, err := i.lookup.end(i.tasks.ctx, r.id)
		if err != nil {
			return nil, Start{}, err
		}
		aheadOfLog = from >= end
	}
	return r.attach(client, from, aheadOfLog, to)
}

// Stats tells about every shard that is read, by id.
func (i *Inbox) Stats() []ShardStats {
	readers := i.all()
	stats := make([]ShardStats, 0, len(readers))
	for _, r := range readers {
		stats = append(stats, r.stats())
	}
	slices.SortFunc(stats, func(a, b ShardStats) int { return int(a.ID) - int(b.ID) })
	return stats
}

func (i *Inbox) all() []*reader {
	i.mu.Lock()
	defer i.mu.Unlock()
	readers := make([]*reader, 0, len(i.readers))
	for _, r := range i.readers {
		readers = append(readers, r)
	}
	return readers
}

// tick measures rates and forgets what is old.
func (i *Inbox) tick(ctx context.Context) {
	for pause(ctx, tickEvery, nil) {
		for _, r := range i.all() {
			r.tick(i.config.Now())
		}
	}
}

// Close ends every subscription without a word and returns when no goroutine of the inbox runs any more.
func (i *Inbox) Close() {
	i.tasks.end()
	for _, r := range i.all() {
		r.stop()
	}
	i.liveClient.close()
	i.lookupClient.close()
	i.tasks.wait()
}
