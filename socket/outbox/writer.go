package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/IBM/sarama"

	"github.com/tidegate/tidegate/internal/logkey"
)

const (
	// A producer is replaced after this many failures in a row: a new one starts with fresh connections, fresh
	// circuit breakers and a fresh epoch.
	failuresInRow = 8
	// Each failed batch costs the producer one of 32,767 epochs; it is replaced long before they end.
	failuresInAll = 8192

	reopenFirst = 50 * time.Millisecond
	reopenLast  = 2 * time.Second
)

// writer is one producer and the counts that decide when it is replaced.
type writer struct {
	client   sarama.Client
	producer sarama.AsyncProducer
	// answered is closed when the producer has answered everything and has ended.
	answered chan struct{}
	// inRow and inAll count failures; they are guarded by the outbox's lock.
	inRow, inAll int
	worked       bool
}

func (w *writer) spent() bool { return w.inRow >= failuresInRow || w.inAll >= failuresInAll }

// write keeps a producer open and feeds it until ctx ends. Opening one asks Kafka for its metadata only, so a Kafka
// that is away is probed without cost to any epoch.
func (o *Outbox) write(ctx context.Context) {
	defer close(o.stopped)
	defer o.abandon()
	pause := time.Duration(0)
	logged := false
	for wait(ctx, pause) {
		w, err := o.open()
		if err != nil {
			if !logged {
				o.config.Logger.Warn("kafka cannot be written to; trying again", slog.String(logkey.Topic, o.config.Topic), slog.String(logkey.Err, err.Error()))
				logged = true
			}
			pause = min(max(2*pause, reopenFirst), reopenLast)
			continue
		}
		logged = false
		o.feed(ctx, w)
		o.end(w)
		pause = min(max(2*pause, reopenFirst), reopenLast)
		if w.worked {
			pause = reopenFirst
		}
	}
}

// wait pauses and says whether to go on.
func wait(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

func (o *Outbox) open() (*writer, error) {
	client, err := sarama.NewClient(o.config.Kafka.Brokers, o.sarama)
	if err != nil {
		return nil, fmt.Errorf("reach Kafka at %v: %w", o.config.Kafka.Brokers, err)
	}
	if err = client.RefreshMetadata(o.config.Topic); err != nil {
		return nil, discard(client, fmt.Errorf("find topic %s: %w", o.config.Topic, err))
	}
	producer, err := sarama.NewAsyncProducerFromClient(client)
	if err != nil {
		return nil, discard(client, fmt.Errorf("start a producer: %w", err))
	}
	w := &writer{client: client, producer: producer, answered: make(chan struct{})}
	go o.collect(w)
	o.mu.Lock()
	o.stats.Producers++
	o.mu.Unlock()
	return w, nil
}

// discard closes a client that is of no use and passes on why.
func discard(client sarama.Client, why error) error {
	_ = client.Close() // The reason why it is useless says more.
	return why
}

// feed hands messages to the producer until ctx ends or the producer is spent and has answered everything. A schedule
// that is closed hands out nothing, so ctx may end a little later than the outbox is closed.
func (o *Outbox) feed(ctx context.Context, w *writer) {
	for {
		o.mu.Lock()
		spent, idle := w.spent(), o.schedule.flying == 0
		var e *entry
		var pause time.Duration
		if !spent {
			e, pause = o.schedule.next(time.Now())
		}
		o.mu.Unlock()
		switch {
		case spent && idle:
			return
		case e != nil:
			if !o.hand(ctx, w, e) {
				return
			}
		case !o.rest(ctx, pause):
			return
		}
	}
}

// hand gives one message to the producer; false means that ctx ended first.
func (o *Outbox) hand(ctx context.Context, w *writer, e *entry) bool {
	message := &sarama.ProducerMessage{
		Topic: o.config.Topic, Partition: int32(e.message.Shard), Value: sarama.ByteEncoder(e.message.Value),
		Metadata: e,
		// A topic with LogAppendTime answers with the broker's own time; only a broker without it keeps this one.
		Timestamp: time.Now().Truncate(time.Millisecond),
	}
	if e.message.Key != "" {
		message.Key = sarama.StringEncoder(e.message.Key)
	}
	select {
	case w.producer.Input() <- message:
		return true
	case <-ctx.Done():
		o.answer(w, e, Receipt{}, ErrClosed)
		return false
	}
}

// rest waits until there may be something to do; false means that ctx ended.
func (o *Outbox) rest(ctx context.Context, pause time.Duration) bool {
	var timeout <-chan time.Time
	if pause > 0 {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-o.wake:
	case <-timeout:
	}
	return true
}

// collect takes the producer's answers until it has ended.
func (o *Outbox) collect(w *writer) {
	defer close(w.answered)
	successes, failures := w.producer.Successes(), w.producer.Errors()
	for successes != nil || failures != nil {
		select {
		case message, ok := <-successes:
			if !ok {
				successes = nil
				continue
			}
			o.answer(w, message.Metadata.(*entry), Receipt{Offset: message.Offset, At: message.Timestamp}, nil)
		case failure, ok := <-failures:
			if !ok {
				failures = nil
				continue
			}
			o.answer(w, failure.Msg.Metadata.(*entry), Receipt{}, failure.Err)
		}
	}
}

// answer records what became of a message.
func (o *Outbox) answer(w *writer, e *entry, receipt Receipt, err error) {
	o.mu.Lock()
	if err == nil {
		w.inRow, w.worked = 0, true
	} else {
		w.inRow++
		w.inAll++
	}
	first := w.inRow == 1
	o.conclude(o.schedule.resolve(e, receipt, err, time.Now()))
	o.mu.Unlock()
	signal(o.wake)
	if first {
		o.config.Logger.Warn("kafka did not take a message", slog.Int(logkey.Shard, int(e.message.Shard)), slog.String(logkey.Err, err.Error()))
	}
}

// end closes a producer. One that hangs on a dead broker is cut loose by closing its connections.
func (o *Outbox) end(w *writer) {
	w.producer.AsyncClose()
	timer := time.NewTimer(o.config.Timeout)
	defer timer.Stop()
	select {
	case <-w.answered:
	case <-timer.C:
	}
	_ = w.client.Close() // A connection that fails to close is gone as well.
	<-w.answered
}

// abandon tells whatever is left when no producer will answer any more.
func (o *Outbox) abandon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.conclude(o.schedule.abandon())
}
