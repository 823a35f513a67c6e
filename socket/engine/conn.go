package engine

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"github.com/tidegate/tidegate/internal/protocol"
)

// stage is where a connection stands.
type stage uint8

// The stages, in their order.
const (
	live      stage = iota
	closing         // the close frame is queued: nothing is added any more
	saidClose       // the close frame is written: only the client's answer is missing
	finished        // nothing is left to do
)

// ending is what to do with the connection once the close frame is written.
type ending uint8

const (
	await  ending = iota // the client is to answer with its own close frame
	half                 // the client is at fault: its bytes mean nothing any more, it sees the end and goes
	hangUp               // the client has closed already
)

// maxPongs is how many answers to pings may wait: a client that pings without reading gets no more.
const maxPongs = 32

// Causes that a receiver may be told.
var (
	errSlow   = errors.New("the client reads too slowly")
	errSilent = errors.New("the client gave no sign of life after a ping")
	errTardy  = errors.New("a message was not finished in time")
)

// conn is a connection. Its reader is the goroutine of run; a writer runs only while something is queued.
type conn struct {
	server   *server
	nc       net.Conn
	remote   string
	receiver Receiver // set before run

	mu       sync.Mutex
	queue    *[]byte // frames to write next; nil when there are none
	frames   int     // in queue and under way
	inFlight int     // bytes that the writer is writing
	pongs    int     // in queue
	// since are the times from which the messages of SendSince in the queue count; spare is a slice to use next.
	since, spare []time.Time
	writing      bool // a writer runs
	stage        stage
	ending       ending
	closeBy      time.Time // when the reader gives up, once closing
	code         uint16
	cause        error

	reader reader
}

func newConn(s *server, nc net.Conn) *conn {
	c := &conn{server: s, nc: nc, remote: nc.RemoteAddr().String()}
	c.reader.decoder = decoder{max: s.options.MaxMessageBytes, pool: &s.pool}
	return c
}

// Remote implements Conn.
func (c *conn) Remote() string { return c.remote }

// Queued implements Conn.
func (c *conn) Queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queuedLocked()
}

func (c *conn) queuedLocked() int {
	if c.queue == nil {
		return c.inFlight
	}
	return c.inFlight + len(*c.queue)
}

// Send implements Conn.
func (c *conn) Send(frame []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sendLocked(frame)
}

// SendSince implements Conn.
func (c *conn) SendSince(frame []byte, since time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.sendLocked(frame) {
		return false
	}
	c.since = append(c.since, since)
	return true
}

func (c *conn) sendLocked(frame []byte) bool {
	o := &c.server.options
	if c.stage != live {
		return false
	}
	if c.queuedLocked()+maxHeader+len(frame) > o.QueueBytes || c.frames >= o.QueueFrames {
		c.closeLocked(protocol.CloseOverload, "this client reads too slowly: come back and resume", errSlow, await)
		return false
	}
	c.frames++
	c.pushLocked(appendFrame(*c.queueLocked(), ws.OpText, frame))
	return true
}

// Close implements Conn.
func (c *conn) Close(code uint16, reason string) { c.end(code, reason, nil, await) }

// end closes the connection for a cause, unless it closes already.
func (c *conn) end(code uint16, reason string, cause error, how ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLocked(code, reason, cause, how)
}

func (c *conn) closeLocked(code uint16, reason string, cause error, how ending) {
	if c.stage != live {
		return
	}
	c.stage, c.code, c.cause, c.ending = closing, code, cause, how
	o := &c.server.options
	c.closeBy = time.Now().Add(o.WriteTimeout + o.CloseTimeout)
	_ = c.nc.SetReadDeadline(c.closeBy) // fails only on a closed connection: the read says so
	c.pushLocked(appendClose(*c.queueLocked(), code, reason))
}

// control queues a ping or a pong, unless too many wait already.
func (c *conn) control(opcode ws.OpCode, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stage != live || c.pongs >= maxPongs {
		return
	}
	c.pongs++
	c.pushLocked(appendFrame(*c.queueLocked(), opcode, payload))
}

func (c *conn) queueLocked() *[]byte {
	if c.queue == nil {
		c.queue = c.server.pool.get()
	}
	return c.queue
}

// pushLocked keeps the grown queue and sees to it that a writer runs.
func (c *conn) pushLocked(queue []byte) {
	*c.queue = queue
	if !c.writing {
		c.writing = true
		// The reader still runs, so that the group is never at zero here.
		c.server.running.Add(1)
		go c.write()
	}
}
