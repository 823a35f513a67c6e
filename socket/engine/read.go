package engine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/gobwas/ws"

	"github.com/tidegate/tidegate/internal/protocol"
)

// smallBytes is what an idle connection keeps for its next read.
const smallBytes = 1 << 10

// reader is what only the reading goroutine touches.
type reader struct {
	decoder decoder
	full    bool      // the last read gave as much as there was room for: more is on its way
	deaf    bool      // what comes means nothing any more: it is read away
	done    bool      // there is nothing to read for
	pinged  bool      // a ping is out and nothing has come since
	pongBy  time.Time // when a sign of life must have come
	unit    uint64    // the decoder's unit that wholeBy is about
	wholeBy time.Time // when that unit must be whole; zero when none is unfinished
	small   [smallBytes]byte
}

// run reads the connection until its end. first is what came with the handshake.
func (c *conn) run(first []byte) {
	r := &c.reader
	c.consume(first)
	var err error
	for err == nil && !r.done {
		err = c.readOnce()
	}
	c.finish(err)
}

// readOnce reads what has come, or does what the clock asks for.
func (c *conn) readOnce() error {
	r := &c.reader
	c.arm()
	var n int
	var err error
	if r.full && r.decoder.missing() > smallBytes {
		chunk := c.server.pool.chunk()
		n, err = c.nc.Read(chunk[:])
		c.consume(chunk[:n])
		c.server.pool.putChunk(chunk)
	} else {
		n, err = c.nc.Read(r.small[:])
		c.consume(r.small[:n])
	}
	r.full = n >= smallBytes
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return c.late()
	}
	return err
}

// arm sets the time until which the next bytes must come.
func (c *conn) arm() {
	r := &c.reader
	now := time.Now()
	by := now.Add(c.server.options.PingInterval)
	if r.pinged {
		by = r.pongBy
	}
	if !r.wholeBy.IsZero() && r.wholeBy.Before(by) {
		by = r.wholeBy
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stage != live {
		by = c.closeBy
	}
	_ = c.nc.SetReadDeadline(by) // fails only on a closed connection: the read says so
}

// late acts on a time that has passed: it pings, gives the client up, or ends the wait for its close frame.
func (c *conn) late() error {
	r := &c.reader
	now := time.Now()
	if over, giveUp := c.overdue(now); over {
		if giveUp {
			return os.ErrDeadlineExceeded
		}
		return nil // the deadline was moved while the read waited
	}
	o := &c.server.options
	switch {
	case !r.wholeBy.IsZero() && !now.Before(r.wholeBy):
		r.deaf = true
		c.end(protocol.ClosePolicy, "a message must be whole within "+o.MessageTimeout.String(), errTardy, half)
	case !r.pinged:
		r.pinged, r.pongBy = true, now.Add(o.PongTimeout)
		c.control(ws.OpPing, nil)
	case !now.Before(r.pongBy):
		r.deaf = true
		c.end(protocol.CloseOverload, "no sign of life after a ping", errSilent, half)
	}
	return nil
}

// overdue reports whether the connection is closing, and if so, whether its time is up.
func (c *conn) overdue(now time.Time) (bool, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stage == live {
		return false, false
	}
	return true, !now.Before(c.closeBy)
}

// consume decodes the next bytes.
func (c *conn) consume(data []byte) {
	r := &c.reader
	if len(data) == 0 || r.deaf {
		return
	}
	r.pinged = false
	if bad := r.decoder.feed(data, c); bad != nil {
		r.deaf = true
		c.end(bad.code, bad.why, bad, half)
	}
	switch {
	case r.deaf || !r.decoder.partial():
		r.wholeBy = time.Time{}
	case r.wholeBy.IsZero() || r.unit != r.decoder.unit:
		r.unit, r.wholeBy = r.decoder.unit, time.Now().Add(c.server.options.MessageTimeout)
	}
}

// text implements sink.
func (c *conn) text(data []byte) {
	if c.isLive() {
		c.receiver.Frame(data)
	}
}

// ping implements sink.
func (c *conn) ping(payload []byte) { c.control(ws.OpPong, payload) }

// closing implements sink: the client's close frame has come.
func (c *conn) closing(code uint16) {
	r := &c.reader
	r.deaf = true
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.stage {
	case live:
		c.closeLocked(code, "", nil, hangUp)
	case closing:
		c.ending = hangUp
	case saidClose, finished:
		r.done = true
	}
}

func (c *conn) isLive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stage == live
}

// finish ends the connection and tells the receiver, once.
func (c *conn) finish(err error) {
	c.mu.Lock()
	if c.stage == live {
		c.code, c.cause = closeAbnormal, gone(err)
	}
	c.stage = finished
	c.dropLocked()
	code, cause := c.code, c.cause
	c.mu.Unlock()
	_ = c.nc.Close() // whatever was to be written is written or lost
	c.reader.decoder.release()
	c.receiver.Closed(code, cause)
}

// gone says how a connection went away without a close frame.
func gone(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return errors.New("the client went away without closing")
	}
	return fmt.Errorf("read: %w", err)
}
