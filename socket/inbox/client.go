package inbox

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/IBM/sarama"
)

var errClosed = errors.New("the inbox is closed")

// client is a sarama client that is opened when it is first needed, since a node must start while Kafka is away.
type client struct {
	brokers []string
	config  *sarama.Config

	mu     sync.Mutex
	opened sarama.Client
	closed bool
}

// open returns the client; who calls while Kafka is away waits for one attempt and gets its error.
func (c *client) open(ctx context.Context) (sarama.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.closed {
		return nil, errClosed
	}
	if c.opened != nil {
		return c.opened, nil
	}
	opened, err := sarama.NewClient(c.brokers, c.config)
	if err != nil {
		return nil, fmt.Errorf("reach Kafka at %v: %w", c.brokers, err)
	}
	c.opened = opened
	return opened, nil
}

// close ends every request under way with an error.
func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.opened != nil {
		_ = c.opened.Close() // Nothing is lost with a connection that only read.
		c.opened = nil
	}
}
