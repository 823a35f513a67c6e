package demo

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kfake"
)

// embedded are the servers that a fleet needs, inside this process: nothing to install.
type embedded struct {
	redis *miniredis.Miniredis
	kafka *kfake.Cluster
}

func startEmbedded() (*embedded, error) {
	redis := miniredis.NewMiniRedis()
	if err := redis.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	kafka, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.WithLogger(kfake.BasicLogger(io.Discard, kfake.LogLevelNone)),
	)
	if err != nil {
		redis.Close()
		return nil, fmt.Errorf("start the embedded Kafka: %w", err)
	}
	return &embedded{redis: redis, kafka: kafka}, nil
}

// tick lets keys expire: miniredis moves its clock for expiry only when told to.
func (e *embedded) tick(ctx context.Context) {
	const step = 100 * time.Millisecond
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			e.redis.FastForward(step)
		}
	}
}

func (e *embedded) close() {
	e.kafka.Close()
	e.redis.Close()
}
