package engine

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tidegate/tidegate/internal/protocol"
)

// pieceBytes is what a client has to take within one write timeout.
const pieceBytes = 64 << 10

// write is the writer's goroutine: it writes what is queued, many frames at once, and ends when nothing is left.
func (c *conn) write() {
	defer c.server.running.Done()
	for batch, since := c.next(nil); batch != nil; batch, since = c.next(since) {
		err := c.writeAll(*batch)
		c.server.pool.put(batch)
		if err != nil {
			c.broken(err)
			return
		}
		c.tell(since)
	}
}

// tell says how long each message of a batch took until it was written.
func (c *conn) tell(since []time.Time) {
	if len(since) == 0 {
		return
	}
	now := time.Now()
	for _, from := range since {
		c.server.written(now.Sub(from))
	}
}

// writeAll writes in pieces, each with its own deadline: a slow client that still reads is not a dead one.
func (c *conn) writeAll(batch []byte) error {
	for len(batch) > 0 {
		piece := batch[:min(len(batch), pieceBytes)]
		batch = batch[len(piece):]
		// Fails only on a connection that is over: the write says so.
		_ = c.nc.SetWriteDeadline(time.Now().Add(c.server.options.WriteTimeout))
		if _, err := c.nc.Write(piece); err != nil {
			return err
		}
		c.mu.Lock()
		c.inFlight -= len(piece)
		c.mu.Unlock()
	}
	return nil
}

// next takes the queue with the times its messages count from, or nil when there is none: then the writer is over. done
// are the times of the batch before, whose memory is used again.
func (c *conn) next(done []time.Time) (batch *[]byte, since []time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight, c.pongs = 0, 0
	if batch = c.queue; batch == nil {
		// An idle connection keeps no memory for times.
		c.frames, c.writing, c.since, c.spare = 0, false, nil, nil
		c.partLocked()
		return nil, nil
	}
	if done != nil {
		c.spare = done[:0]
	}
	since, c.since, c.spare = c.since, c.spare, nil
	// Frames under way no longer count against the bound on their number; their bytes do.
	c.queue, c.inFlight, c.frames = nil, len(*batch), 0
	return batch, since
}

// partLocked goes on with closing when all is written.
func (c *conn) partLocked() {
	if c.stage != closing {
		return
	}
	c.stage = saidClose
	c.closeBy = time.Now().Add(c.server.options.CloseTimeout)
	_ = c.nc.SetReadDeadline(c.closeBy) // fails only on a closed connection: the read says so
	switch c.ending {
	case await:
	case half:
		if h, ok := c.nc.(interface{ CloseWrite() error }); ok {
			_ = h.CloseWrite() // as above
		}
	case hangUp:
		_ = c.nc.Close() // both sides have said all: the reader ends with it
	}
}

// broken ends a connection that can no longer be written.
func (c *conn) broken(err error) {
	c.mu.Lock()
	if c.stage == live {
		c.code, c.cause = closeAbnormal, fmt.Errorf("write: %w", err)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.code, c.cause = protocol.CloseOverload, errSlow
		}
	}
	c.stage, c.writing = finished, false
	c.dropLocked()
	c.mu.Unlock()
	_ = c.nc.Close() // it is broken already; the reader ends with it
}

// dropLocked gives the memory of what nobody will read back.
func (c *conn) dropLocked() {
	if c.queue != nil {
		c.server.pool.put(c.queue)
		c.queue = nil
	}
	c.frames = 0
}
