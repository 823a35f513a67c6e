package socket

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/engine"
	"github.com/tidegate/tidegate/socket/inbox"
	"github.com/tidegate/tidegate/socket/session"
)

// burstSeconds is how many seconds' worth of its message rate a client may send at once.
const burstSeconds = 10

// handover is how long a connection goes on after a newer one of its client has started, so that the client is never
// without one: what comes over both is dropped by the client.
const handover = 300 * time.Millisecond

// frames are reused buffers: the engine copies what it is given.
var frames = sync.Pool{New: func() any { return new([]byte) }}

// resident is one session on this node: it gets what the client sends and what its inbox brings.
type resident struct {
	node   *node
	conn   engine.Conn
	ticket *ticket
	client string
	// sender names this connection to the outbox, whose order is that of one stream of frames.
	sender string
	shard  shard.ID
	pace   *rate.Limiter
	// ctx ends with the connection.
	ctx context.Context
	end context.CancelFunc
	// started is closed when the start has ended, well or not.
	started chan struct{}
	live    atomic.Bool
	largest atomic.Int64
	highest atomic.Int64 // the offset of the last message that was given to the client
	// how is the way in which the session leaves in a drain.
	how atomic.Int32
	// moved says that the client goes on over a newer connection already; this one ends by itself.
	moved atomic.Bool
	bad   int // frames that were refused; only Frame's goroutine uses it

	mu     sync.Mutex // guards the fields below
	own    start
	acked  protocol.Offset
	sub    *inbox.Subscription
	expiry *time.Timer
	closed func() // ends the record keeping

	// The mover alone uses the fields below.
	toldAt  uint64 // version of the table row at which the client was told to move, plus one
	closeAt time.Time
}

// Open starts a session on a connection that Admit has let in.
func (n *node) Open(c engine.Conn, admitted any) engine.Receiver {
	t := admitted.(*ticket) // Admit hands out nothing else
	client := t.identity.Client
	r := &resident{
		node: n, conn: c, ticket: t, client: client, sender: fmt.Sprintf("%s/%d", client, n.serial.Add(1)), shard: shard.Of(client, n.shards),
		pace:    rate.NewLimiter(rate.Limit(n.o.MessageRate), max(1, int(burstSeconds*n.o.MessageRate))),
		started: make(chan struct{}),
	}
	r.highest.Store(inbox.None)
	r.ctx, r.end = context.WithCancel(n.ctx)
	n.open.Add(1)
	n.work.Go(func() {
		defer close(r.started)
		n.start(r)
	})
	return r
}

// Closed ends the session. The session's record stays for the resume window.
func (r *resident) Closed(code uint16, cause error) {
	r.end()
	<-r.started
	r.mu.Lock()
	sub, expiry, closed := r.sub, r.expiry, r.closed
	r.mu.Unlock()
	if expiry != nil {
		expiry.Stop()
	}
	if sub != nil {
		sub.Detach()
	}
	if closed != nil {
		closed()
	}
	r.node.left(r, code, cause)
}

// send writes a frame to the client.
func (r *resident) send(frame protocol.ServerFrame) {
	buffer := frames.Get().(*[]byte)
	*buffer = frame.Append((*buffer)[:0])
	r.conn.Send(*buffer)
	frames.Put(buffer)
}

// Deliver gives the client one message. It counts as delivered once it is written: see Written.
func (r *resident) Deliver(m inbox.Message) {
	r.highest.Store(m.Offset)
	buffer := frames.Get().(*[]byte)
	*buffer = protocol.Message{
		ID: m.ID, From: m.From, Payload: m.Payload, TS: m.At,
		Offset: protocol.Offset{Topic: r.node.topic, Value: m.Offset},
	}.Append((*buffer)[:0])
	r.conn.SendSince(*buffer, m.Fetched)
	frames.Put(buffer)
	if size := int64(len(m.Payload)); size > r.largest.Load() {
		r.largest.Store(size)
	}
}

// Written counts a delivered message and the time from its fetch to its write.
func (n *node) Written(after time.Duration) { n.meter.CountDelivered(after) }

// Room tells a resume how many messages the connection's queue takes now: half of it, if all were as large as the
// largest so far.
func (r *resident) Room() int {
	const envelope = 1 << 10
	free := int64(r.node.o.WS.QueueBytes/2 - r.conn.Queued())
	return int(min(max(0, free/(r.largest.Load()+envelope)), int64(r.node.o.WS.QueueFrames/2)))
}

// Record is what Redis is to know of the session.
func (r *resident) Record() session.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return session.Record{Client: r.client, Session: r.own.session, Epoch: r.own.epoch, Node: r.node.id, Offset: r.acked}
}

// announced notes where the log's receipt says that the session's start stands. The marker of the shard's warm-up
// stands before every start, so an offset of 0 only says that the producer does not know.
func (r *resident) announced(offset int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if offset > 0 {
		r.own.offset = offset
	}
}

// facing is the session's own start beside another of its client. A start whose receipt did not say where it stands
// learns it when other is its own record.
func (r *resident) facing(other start) start {
	r.mu.Lock()
	defer r.mu.Unlock()
	mine := other.epoch == r.own.epoch && other.node == r.own.node && other.session == r.own.session
	if mine && r.own.offset < 0 {
		r.own.offset = other.offset
	}
	return r.own
}

// replaced closes the session when other is a newer one of its client.
func (r *resident) replaced(other start) {
	own := r.facing(other)
	if !older(own, other) {
		return
	}
	if !r.live.Load() {
		r.supersede(own, other)
		return
	}
	// The log is faster than the newer connection's welcome. Without this the client would stand between the two; and
	// one whose resume token was not taken would hear that it is replaced before it knows by what, and stay away.
	if !r.moved.Swap(true) {
		time.AfterFunc(handover, func() { r.supersede(own, other) })
	}
}

func (r *resident) supersede(own, other start) {
	if other.session == own.session {
		r.conn.Close(protocol.CloseMoved, "the session has moved")
		return
	}
	r.conn.Close(protocol.CloseReplaced, "the client has connected anew")
}

// turnAway tells the client why it cannot stay and closes the connection.
func (r *resident) turnAway(e *ending) {
	if e.frame != nil {
		r.send(e.frame)
	}
	r.conn.Close(e.code, e.reason)
}

// ending is how a session ends that cannot start.
type ending struct {
	frame  protocol.ServerFrame
	code   uint16
	reason string
	// cause is why, for the log; nil for what is ordinary.
	cause error
}

// Error says the reason.
func (e *ending) Error() string { return e.reason }
