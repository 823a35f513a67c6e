// Package audit keeps a record of every decision on Kafka. A record that cannot be written never delays a decision.
package audit

import (
	"context"
	"log/slog"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/metric"
)

// Sink takes decisions for the record. Record never blocks and may drop.
type Sink interface {
	Record(d decision.Decision)
}

// Producer writes one message and waits for it; sarama's SyncProducer is one.
type Producer interface {
	SendMessage(m *sarama.ProducerMessage) (partition int32, offset int64, err error)
	Close() error
}

const (
	// queued is how many decisions wait for Kafka: a fleet decides anew a few times an hour, a thousand fleets of one
	// balancer fit for minutes.
	queued = 1024
	// retryAfter spaces the tries of an outage.
	retryAfter = time.Second
)

// Log writes decisions to keys.AuditTopic, keyed by fleet, in the order of Record.
type Log struct {
	open     func(context.Context) (Producer, error)
	failures prometheus.Counter
	logger   *slog.Logger
	queue    chan decision.Decision

	// Used by Run alone.
	producer Producer
	failing  bool
}

// New makes a log that opens its producer when it first has something to write, and again after each failure. The registry
// takes its one metric.
func New(open func(context.Context) (Producer, error), registry prometheus.Registerer, logger *slog.Logger) *Log {
	failures := prometheus.NewCounter(prometheus.CounterOpts{
		Name: metric.BalancerAuditFailures, Help: "Tries to record a decision that failed, and decisions that were dropped.",
	})
	registry.MustRegister(failures)
	return &Log{open: open, failures: failures, logger: logger, queue: make(chan decision.Decision, queued)}
}

// Record queues the decision. When the queue is full the decision is dropped and counted. Safe for concurrent use.
func (l *Log) Record(d decision.Decision) {
	select {
	case l.queue <- d:
	default:
		l.failures.Inc()
	}
}

// Run writes what is recorded until ctx ends; then it tries once more to write what still waits.
func (l *Log) Run(ctx context.Context) {
	defer l.close()
	for {
		select {
		case <-ctx.Done():
			l.flush(ctx)
			return
		case d := <-l.queue:
			if !l.keepTrying(ctx, d) {
				l.flush(ctx)
				return
			}
		}
	}
}

// keepTrying writes the decision, however long Kafka is away; it gives up, and drops it, only when ctx ends.
func (l *Log) keepTrying(ctx context.Context, d decision.Decision) bool {
	for {
		if l.write(ctx, d) {
			return true
		}
		timer := time.NewTimer(retryAfter)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}

// flush ends at the first failure: a process that stops does not wait for Kafka.
func (l *Log) flush(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	for {
		select {
		case d := <-l.queue:
			if l.failing || !l.write(ctx, d) {
				l.failures.Inc()
				return
			}
		default:
			return
		}
	}
}

// write makes one try and logs the first failure of an outage and its end.
func (l *Log) write(ctx context.Context, d decision.Decision) bool {
	err := l.send(ctx, d)
	if err != nil {
		l.failures.Inc()
		l.close() // a new producer asks for the topic's leader anew before it writes
	}
	if failing := err != nil; failing != l.failing {
		l.failing = failing
		if failing {
			l.logger.Error("decisions are not recorded", slog.String(logkey.Topic, keys.AuditTopic), slog.Any(logkey.Err, err))
		} else {
			l.logger.Info("decisions are recorded again", slog.String(logkey.Topic, keys.AuditTopic))
		}
	}
	return err == nil
}

func (l *Log) send(ctx context.Context, d decision.Decision) error {
	body, err := d.Encode()
	if err != nil {
		return err
	}
	if l.producer == nil {
		producer, err := l.open(ctx)
		if err != nil {
			return err
		}
		l.producer = producer
	}
	_, _, err = l.producer.SendMessage(&sarama.ProducerMessage{
		Topic: keys.AuditTopic,
		Key:   sarama.StringEncoder(d.Fleet.String()),
		Value: sarama.ByteEncoder(body),
	})
	return err
}

func (l *Log) close() {
	if l.producer == nil {
		return
	}
	// Each message was waited for: what Close could still fail at is written or counted already.
	_ = l.producer.Close()
	l.producer = nil
}
