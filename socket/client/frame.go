package client

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/tidegate/tidegate/internal/protocol"
)

// leastRetry bounds how soon a refused message is tried again when the node named no time.
const leastRetry = 50 * time.Millisecond

// frame follows one frame of a link.
func (l *loop) frame(ctx context.Context, from *link, frame protocol.ServerFrame) {
	switch f := frame.(type) {
	case protocol.Message:
		l.message(from, f)
	case protocol.Accepted:
		l.settle(ctx, f.ID, nil)
	case protocol.Error:
		l.refused(ctx, f)
	case protocol.Pong:
		l.in.advance(f.Offset)
		l.planAck()
	case protocol.Drain:
		if from == l.current {
			l.target = f.URL
			l.plan(l.told(f.RetryAfter))
		}
	case protocol.Moved:
		if from == l.current {
			l.target = f.URL
			l.plan(0)
		}
	}
}

// told is when to act on a node's word: never earlier, and a little spread where many were told the same.
func (l *loop) told(after time.Duration) time.Duration {
	if after <= 0 {
		return 0
	}
	return after + jittered(l.c.o.Backoff)
}

func (l *loop) message(from *link, m protocol.Message) {
	if from.deaf {
		return
	}
	kind := l.in.take(m, from.asked)
	if kind == duplicate && from.anew {
		kind = overlap
	}
	switch kind {
	case fresh:
		l.c.o.OnMessage(Message{From: m.From, ID: m.ID, Payload: m.Payload, At: m.TS})
	case overlap:
		l.c.overlaps.Add(1)
	case duplicate:
		l.c.duplicates.Add(1)
	}
	l.planAck()
}

func (l *loop) planAck() {
	if l.ackAt.IsZero() {
		l.ackAt = time.Now().Add(l.c.o.AckEvery)
	}
}

// refused follows an error frame: some refusals are final, the others time heals.
func (l *loop) refused(ctx context.Context, f protocol.Error) {
	if f.ID == "" {
		return
	}
	switch f.Code {
	case protocol.CodeNoSession:
		l.settle(ctx, f.ID, ErrNoSession)
	case protocol.CodeBadFrame, protocol.CodeTooBig:
		l.settle(ctx, f.ID, fmt.Errorf("%s: %s: %w", f.Code, f.Message, ErrNotSent))
	default:
		l.out.hold(f.ID, time.Now().Add(max(f.RetryAfter, leastRetry)))
	}
}

func (l *loop) settle(ctx context.Context, id string, outcome error) {
	settled, next := l.out.settle(id)
	if settled == nil {
		return
	}
	settled.done(outcome)
	if next != nil && l.current != nil {
		l.current.write(ctx, next.frame)
	}
}

// withClient names the client openly, as a fleet in dev mode expects.
func withClient(target, client string) string {
	parsed, err := url.Parse(target)
	if err != nil {
		return target
	}
	query := parsed.Query()
	query.Set(protocol.ParamClient, client)
	parsed.RawQuery = query.Encode()
	return parsed.String()
}
