// Package client is the Go client of a Tidegate fleet: it resolves its node, connects, resumes, follows drains and
// moves (the new connection opens before the old one closes), sends with acceptance and receives without duplicates.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/internal/protocol"
)

// Errors that end a Run or a Send.
var (
	// ErrReplaced says that the same client id connected elsewhere: the newer connection wins.
	ErrReplaced = errors.New("replaced by a newer connection of the same client")
	// ErrRefused says that the fleet does not want this client; the wrapped text says why.
	ErrRefused = errors.New("refused")
	// ErrNoSession says that the recipient has no session: nobody waits for the message.
	ErrNoSession = errors.New("the recipient has no session")
	// ErrClosed says that the client ended before the message was accepted.
	ErrClosed = errors.New("client closed")
	// ErrFull says that too many messages wait to be accepted already: send again when some are.
	ErrFull = errors.New("too many messages wait to be accepted")
	// ErrNotSent says that the node refused the message itself; the wrapped text says why.
	ErrNotSent = errors.New("message refused")
)

// Message is one that another client or a service sent.
type Message struct {
	From, ID string
	Payload  json.RawMessage
	// At is when the message entered the log, on the broker's clock.
	At time.Time
}

// Options say who the client is and how it behaves. Only Client and Resolve are needed.
type Options struct {
	// Client is the client's id, the token's subject.
	Client string
	// Token returns a valid JWT; nil sends none (a fleet in dev mode).
	Token func(ctx context.Context) (string, error)
	// Resolve says where the client belongs; see HTTPResolver.
	Resolve func(ctx context.Context, client, token string) (Place, error)
	// OnMessage is called for each message once, in order, one at a time. When it returns, the message counts as handled.
	OnMessage func(Message)
	// OnChange is told of every change of the connection; nil tells nobody.
	OnChange func(Change)
	// HTTP makes the WebSocket handshakes; nil is http.DefaultClient.
	HTTP *http.Client
	// AckEvery bounds how long a handled message waits for its ack (100 ms).
	AckEvery time.Duration
	// PingEvery is how often an idle client asks for its offset (10 s).
	PingEvery time.Duration
	// Backoff is the first wait after a failure (100 ms); it doubles up to MaxBackoff (5 s), with full jitter.
	Backoff, MaxBackoff time.Duration
	// RetireAfter is how long a connection that was replaced by a newer one may finish (5 s).
	RetireAfter time.Duration
	// MaxWaiting bounds the messages that wait to be accepted (1024).
	MaxWaiting int
	// DialTimeout bounds resolve, handshake and the wait for welcome (10 s).
	DialTimeout time.Duration
	// Logger gets debug lines; nil logs nothing.
	Logger *slog.Logger
}

// Change is what happened to the connection.
type Change int

// The changes a client goes through.
const (
	// Connected: the first connection, or one after a gap.
	Connected Change = iota + 1
	// MovedOver: a new connection took over while the old one was still open.
	MovedOver
	// Lost: the connection ended and there is none now.
	Lost
	// Gap: the node said that messages may be missing (welcome without resume, though the client had an offset).
	Gap
)

// Stats count what happened so far. Durations are the client's own clock.
type Stats struct {
	Connects, Moves, Losses, Gaps uint64
	// Overlaps are messages that came over the old and the new connection while the client moved, and were shown once.
	Overlaps uint64
	// Duplicates are messages that came again after the client had said it has them, or a sender's retries that the node
	// did not drop. They are not shown either.
	Duplicates uint64
	// LongestGap is the longest time without any connection after the first.
	LongestGap time.Duration
}

// Client is one client of a fleet. Run drives it; Send and Stats may be called from any goroutine, callbacks included.
type Client struct {
	o      Options
	sends  mailbox
	events chan event

	connects, moves, losses, gaps, overlaps, duplicates atomic.Uint64
	longestGap                                          atomic.Int64
}

// New builds a client; Run connects it.
func New(o Options) *Client {
	fill(&o.AckEvery, 100*time.Millisecond)
	fill(&o.PingEvery, 10*time.Second)
	fill(&o.Backoff, 100*time.Millisecond)
	fill(&o.MaxBackoff, 5*time.Second)
	fill(&o.RetireAfter, 5*time.Second)
	fill(&o.DialTimeout, 10*time.Second)
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxWaiting <= 0 {
		o.MaxWaiting = 1024
	}
	return &Client{o: o, sends: mailbox{most: o.MaxWaiting, wake: make(chan struct{}, 1)}, events: make(chan event, 16)}
}

func fill(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// Send queues a message and returns at once, with ErrClosed or ErrFull when it was not queued. done is called exactly once
// for a queued message, on the client's own goroutine: with nil when it is accepted, else with the reason. Messages to one
// recipient are accepted in the order of their Sends: the next leaves only when the one before it was accepted or refused
// for good.
func (c *Client) Send(to, id string, payload json.RawMessage, done func(error)) error {
	return c.sends.put(&pending{frame: protocol.Send{ID: id, To: to, Payload: payload}, done: done})
}

// Stats returns the counts so far.
func (c *Client) Stats() Stats {
	return Stats{
		Connects: c.connects.Load(), Moves: c.moves.Load(), Losses: c.losses.Load(), Gaps: c.gaps.Load(),
		Overlaps: c.overlaps.Load(), Duplicates: c.duplicates.Load(), LongestGap: time.Duration(c.longestGap.Load()),
	}
}

// jittered spreads waits over (0, d], so that clients that fell together do not return together.
func jittered(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return 1 + rand.N(d)
}
