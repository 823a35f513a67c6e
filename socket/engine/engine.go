// Package engine holds WebSocket connections: it takes handshakes, checks every frame, and gives whole text messages to a
// receiver. It knows nothing of sessions. This engine uses a goroutine for each connection and a second one only while
// something is being written; another inside can stand behind the same interface.
//
// Nothing that a client sends makes it allocate more than what has really arrived: lengths that frames claim are checked, never
// believed.
package engine

import (
	"context"
	"net"
	"net/http"
	"time"
)

// Engine serves connections. All methods are safe for concurrent use.
type Engine interface {
	// Serve takes connections from l until Shutdown (then it returns nil, also when that was before) or until l fails. It may be
	// called for several listeners. It closes l.
	Serve(l net.Listener) error
	// Shutdown closes the listeners, closes every connection that is left with code 1012 after flushing it, and waits until
	// all are gone. When ctx ends first it cuts what is left and returns an error that says how many.
	Shutdown(ctx context.Context) error
	// Connections is how many connections are open.
	Connections() int
}

// Handler decides who may connect and what becomes of a connection. All methods are called from many goroutines.
type Handler interface {
	// Admit looks at a handshake that is in order so far. A refusal ends it; otherwise the ticket reaches Open. The request's
	// context ends with the handshake's deadline; it has no body.
	Admit(r *http.Request) (ticket any, refusal *Refusal)
	// Open starts a connection. It is called exactly once for each admitted handshake, even when the client has gone meanwhile,
	// and must not block long: the connection is not read until it returns.
	Open(c Conn, ticket any) Receiver
}

// RefusalObserver is what a Handler may also be: then it hears of each handshake that the engine itself refused.
type RefusalObserver interface {
	// Refused gets the HTTP status that the client was given.
	Refused(status int)
}

// Returner is what a Handler may also be: then clients that come back are taken before others when handshakes come faster
// than the rate.
type Returner interface {
	// Returns tells from a handshake that is in order so far whether its client says it comes back. It must be cheap.
	Returns(r *http.Request) bool
}

// WriteObserver is what a Handler may also be: then it hears of each message of SendSince once it is written.
type WriteObserver interface {
	// Written gets the time from the message's since to the end of its write. It must not block.
	Written(after time.Duration)
}

// Refusal is the HTTP answer to a handshake that is not taken.
type Refusal struct {
	// Status is the HTTP status, 400 or above.
	Status int
	// RetryAfter is when to come back, rounded up to whole seconds; zero says nothing about it.
	RetryAfter time.Duration
	// Message is for people: what is wrong and what to do.
	Message string
}

// Receiver gets what a connection brings.
type Receiver interface {
	// Frame gets a whole text message of valid UTF-8, in order, from one goroutine at a time. data may be changed, but is valid
	// only during the call. While it runs nothing more is read from this client.
	Frame(data []byte)
	// Closed is called exactly once, after the last Frame. code is the close code that ended the connection: this side's when it
	// closed first, else the client's (1005 for a close frame without one), or 1006 when there was none. cause is nil for a
	// connection that either side closed in an orderly way on purpose.
	Closed(code uint16, cause error)
}

// Conn is the sending side of a connection. All methods are safe for concurrent use, never block, and may be called after the
// end.
type Conn interface {
	// Send queues a text message and copies it. It returns false when the connection is closing or when the queue is full; the
	// latter closes the connection with code 1013.
	Send(frame []byte) bool
	// SendSince is Send, and tells the handler's WriteObserver how long after since the message was written.
	SendSince(frame []byte, since time.Time) bool
	// Close flushes what is queued, sends a close frame and ends the connection, all bounded by the write and close timeouts. The
	// first code wins. The reason is cut to 123 bytes.
	Close(code uint16, reason string)
	// Queued is how many bytes wait to be written, those under way included.
	Queued() int
	// Remote is the peer's network address.
	Remote() string
}
