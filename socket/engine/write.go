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
	for batch := c.next(); batch != nil; batch = c.next() {
		err := c.writeAll(*batch)
		c.server.pool.put(batch)
		if err != nil {
			c.broken(err)
			return
		}
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

// next takes the queue, or nil when there is none: then the writer is over.
func (c *conn) next() *[]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight, c.pongs = 0, 0
	batch := c.queue
	if batch == nil {
		c.frames, c.writing = 0, false
		c.partLocked()
		return nil
	}
	// Frames under way no longer count against the bound on their number; their bytes do.
	c.queue, c.inFlight, c.frames = nil, len(*batch), 0
	return batch
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
