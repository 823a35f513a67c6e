package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/keys"
)

// silence is how long a partition may give nothing, though it has more, before reading is given up: so many requests' time.
const silence = 10

// Read tells take of every decision for the fleet that the log holds since a time, partition by partition, each in its order,
// up to where the log ended when Read began. What is no decision is left out and counted. An error of take ends it.
func Read(ctx context.Context, o kafka.Options, id fleet.ID, since time.Time, take func(decision.Decision) error) (bad int, err error) {
	config, err := o.Lookup()
	if err != nil {
		return 0, err
	}
	client, err := sarama.NewClient(o.Brokers, config)
	if err != nil {
		return 0, fmt.Errorf("open the audit log: %w", err)
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return 0, fmt.Errorf("open the audit log: %w", err)
	}
	defer func() { err = errors.Join(err, consumer.Close()) }()
	partitions, err := client.Partitions(keys.AuditTopic)
	if err != nil {
		return 0, fmt.Errorf("read topic %s: %w", keys.AuditTopic, err)
	}
	for _, partition := range partitions {
		r := reader{client: client, consumer: consumer, fleet: id, patience: silence * o.Timeout, take: take}
		if err := r.read(ctx, partition, since); err != nil {
			return bad + r.bad, fmt.Errorf("read topic %s, partition %d: %w", keys.AuditTopic, partition, err)
		}
		bad += r.bad
	}
	return bad, nil
}

// reader reads one partition.
type reader struct {
	client   sarama.Client
	consumer sarama.Consumer
	fleet    fleet.ID
	patience time.Duration
	take     func(decision.Decision) error
	bad      int
}

func (r *reader) read(ctx context.Context, partition int32, since time.Time) (err error) {
	first, err := r.client.GetOffset(keys.AuditTopic, partition, since.UnixMilli())
	if err != nil {
		return err
	}
	end, err := r.client.GetOffset(keys.AuditTopic, partition, sarama.OffsetNewest)
	if err != nil {
		return err
	}
	if first < 0 || first >= end {
		return nil // nothing is that young
	}
	log, err := r.consumer.ConsumePartition(keys.AuditTopic, partition, first)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	waiting := time.NewTimer(r.patience)
	defer waiting.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-waiting.C:
			return fmt.Errorf("nothing came for %s though the log goes on", r.patience)
		case m, open := <-log.Messages():
			if !open {
				return errors.New("the log was closed")
			}
			waiting.Reset(r.patience)
			if err := r.record(m); err != nil {
				return err
			}
			if m.Offset+1 >= log.HighWaterMarkOffset() || m.Offset+1 >= end {
				return nil
			}
		}
	}
}

func (r *reader) record(m *sarama.ConsumerMessage) error {
	if string(m.Key) != r.fleet.String() {
		return nil
	}
	d, err := decision.Decode(m.Value)
	if err != nil || d.Fleet != r.fleet {
		r.bad++
		return nil //nolint:nilerr // counted: a record that nobody can read is no reason to miss the others
	}
	return r.take(d)
}
