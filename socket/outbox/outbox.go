package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/shard"
)

// Config says where an outbox writes and how much it holds. Every zero bound has a default.
type Config struct {
	Kafka kafka.Options
	Topic string
	// Timeout is how long a message may wait for its confirmation; default 5s.
	Timeout time.Duration
	// MaxPerSender bounds what one sender may have waiting for one shard; default 256 messages.
	MaxPerSender int
	// MaxMessages and MaxBytes bound what waits in all; defaults 65,536 messages and 64 MiB.
	MaxMessages int
	MaxBytes    int
	Logger      *slog.Logger
}

const (
	defaultTimeout      = 5 * time.Second
	defaultPerSender    = 256
	defaultMessages     = 65536
	defaultBytes        = 64 << 20
	deadlinesPerTimeout = 50
)

func (c Config) limits() limits {
	return limits{
		pair: c.MaxPerSender, messages: c.MaxMessages, bytes: c.MaxBytes,
		flying: kafka.InFlight, timeout: c.Timeout,
	}
}

// Stats are counts since the outbox was made, and what it holds now.
type Stats struct {
	// Accepted messages were confirmed, Failed ones were not, Refused ones were never taken.
	Accepted, Failed, Refused uint64
	// Waiting and Bytes are what the outbox holds; Flying of these are with the producer.
	Waiting, Flying, Bytes int
	// Producers counts how often a producer was opened: above 1, Kafka was away or refused writes.
	Producers uint64
}

// Outbox writes to one topic. Its methods are safe for concurrent use and, but for Produce and Close, never block.
type Outbox struct {
	config Config
	sarama *sarama.Config
	stop   context.CancelFunc
	// stopped is closed when the writer has ended, finished when the last done was called.
	stopped, finished chan struct{}
	wake, tell        chan struct{}

	mu       sync.Mutex
	schedule *schedule
	outcomes []outcome
	// closed takes no more messages; silent says that the teller has ended.
	closed, silent bool
	stats          Stats
}

// New starts an outbox; it does not wait for Kafka to answer. An error names the option that cannot be used.
func New(c Config) (*Outbox, error) {
	config, err := c.Kafka.Producer()
	if err != nil {
		return nil, err
	}
	if c.Topic == "" || c.Logger == nil {
		return nil, errors.New("the outbox needs a topic and a logger")
	}
	c.Timeout = or(c.Timeout, defaultTimeout)
	c.MaxPerSender = or(c.MaxPerSender, defaultPerSender)
	c.MaxMessages = or(c.MaxMessages, defaultMessages)
	c.MaxBytes = or(c.MaxBytes, defaultBytes)
	ctx, stop := context.WithCancel(context.Background())
	o := &Outbox{
		config: c, sarama: config, stop: stop,
		stopped: make(chan struct{}), finished: make(chan struct{}),
		wake: make(chan struct{}, 1), tell: make(chan struct{}, 1),
		schedule: newSchedule(c.limits()),
	}
	go o.write(ctx)
	go o.teller()
	go o.watch(ctx)
	return o, nil
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// Send takes a message. Done is called exactly once, from a goroutine of the outbox, in the order of the outcomes,
// and must not block; a refusal is told the same way. After Close the caller's own goroutine calls it.
func (o *Outbox) Send(m Message, done func(Receipt, error)) {
	o.mu.Lock()
	e := &entry{message: m, done: done}
	err := ErrClosed
	if !o.closed {
		err = o.schedule.push(e, time.Now())
	}
	silent := o.silent
	if err != nil {
		o.stats.Refused++
		if !silent {
			o.outcomes = e.tell(o.outcomes, Receipt{}, err)
		}
	}
	o.mu.Unlock()
	switch {
	case silent:
		done(Receipt{}, err)
	case err != nil:
		signal(o.tell)
	default:
		signal(o.wake)
	}
}

// Refuse tells the outbox that the caller refused a message that its sender will send again. Later messages of the
// sender to that shard then wait for it, so that they do not overtake it.
func (o *Outbox) Refuse(sender string, id shard.ID, message string) {
	if sender == "" || message == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.schedule.refuse(sender, id, message, time.Now())
}

// Produce writes one record outside every order and waits for its receipt. When ctx ends first the record may still
// be written.
func (o *Outbox) Produce(ctx context.Context, id shard.ID, key string, value []byte) (Receipt, error) {
	type answer struct {
		receipt Receipt
		err     error
	}
	answers := make(chan answer, 1)
	o.Send(Message{Shard: id, Key: key, Value: value}, func(r Receipt, err error) { answers <- answer{r, err} })
	select {
	case a := <-answers:
		if a.err != nil {
			return Receipt{}, fmt.Errorf("write to shard %d: %w", id, a.err)
		}
		return a.receipt, nil
	case <-ctx.Done():
		return Receipt{}, fmt.Errorf("write to shard %d: %w", id, ctx.Err())
	}
}

// Stats returns the counts of this moment.
func (o *Outbox) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	stats := o.stats
	stats.Waiting, stats.Flying, stats.Bytes = o.schedule.messages, o.schedule.flying, o.schedule.bytes
	return stats
}

// Close fails what is not with the producer, waits a bounded time for what is, and returns when every done was
// called and every goroutine has ended. Calling it again does nothing more.
func (o *Outbox) Close() {
	o.mu.Lock()
	if !o.closed {
		o.closed = true
		o.conclude(o.schedule.close())
	}
	o.mu.Unlock()
	o.stop()
	<-o.finished
}

// conclude keeps outcomes for the teller. The caller holds the lock.
func (o *Outbox) conclude(outcomes []outcome) {
	for _, each := range outcomes {
		if each.err == nil {
			o.stats.Accepted++
		} else {
			o.stats.Failed++
		}
	}
	o.outcomes = append(o.outcomes, outcomes...)
	signal(o.tell)
}

// teller calls every done, in order and under no lock.
func (o *Outbox) teller() {
	defer close(o.finished)
	for ended := false; !ended; {
		select {
		case <-o.tell:
		case <-o.stopped:
			ended = true
		}
		o.mu.Lock()
		outcomes := o.outcomes
		o.outcomes, o.silent = nil, ended
		o.mu.Unlock()
		for _, each := range outcomes {
			each.done(each.receipt, each.err)
		}
	}
}

// watch fails what is past its deadline.
func (o *Outbox) watch(ctx context.Context) {
	ticker := time.NewTicker(max(o.config.Timeout/deadlinesPerTimeout, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			o.mu.Lock()
			if outcomes := o.schedule.expire(time.Now()); len(outcomes) > 0 {
				o.conclude(outcomes)
			}
			o.mu.Unlock()
		}
	}
}

// signal wakes a goroutine that looks for work again each time.
func signal(channel chan<- struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}
