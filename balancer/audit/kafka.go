package audit

import (
	"context"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/tidegate/tidegate/internal/kafka"
)

// Kafka opens producers for New; it creates the topic when it is missing.
func Kafka(o kafka.Options, production bool) func(context.Context) (Producer, error) {
	return func(ctx context.Context) (Producer, error) {
		if err := kafka.EnsureAudit(ctx, o, production); err != nil {
			return nil, err
		}
		config, err := o.Producer()
		if err != nil {
			return nil, err
		}
		// A fleet's decisions stay in one partition and so in order, however many the operator gave the topic.
		config.Producer.Partitioner = sarama.NewHashPartitioner
		producer, err := sarama.NewSyncProducer(o.Brokers, config)
		if err != nil {
			return nil, fmt.Errorf("open the audit producer: %w", err)
		}
		return producer, nil
	}
}
