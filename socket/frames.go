package socket

import (
	"context"
	"errors"
	"time"

	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/record"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/internal/token"
	"github.com/tidegate/tidegate/socket/outbox"
	"github.com/tidegate/tidegate/socket/session"
)

// Frame handles what the client sends. A frame that comes before the welcome waits for it: nothing more is read from
// this client meanwhile.
func (r *resident) Frame(data []byte) {
	frame, err := protocol.DecodeClient(data)
	if err != nil {
		r.refuse(err)
		return
	}
	<-r.started
	if !r.live.Load() {
		return
	}
	switch f := frame.(type) {
	case protocol.Send:
		r.message(f)
	case protocol.Ack:
		r.ack(f.Offset)
	case protocol.Refresh:
		r.refresh(f.Token)
	case protocol.Ping:
		r.pong()
	}
}

// refuse answers a frame that is not in order, and closes the connection of a client that goes on like that.
func (r *resident) refuse(err error) {
	r.bad++
	var bad *protocol.BadFrame
	if !errors.As(err, &bad) {
		bad = &protocol.BadFrame{Code: protocol.CodeBadFrame, Msg: err.Error()}
	}
	r.send(bad.Frame())
	if r.bad >= r.node.o.BadFrames {
		r.conn.Close(protocol.ClosePolicy, "too many bad frames")
	}
}

// message writes a message to its recipient's shard and answers the client when it stands in the log.
func (r *resident) message(f protocol.Send) {
	to := shard.Of(f.To, r.node.shards)
	if wait, limited := r.limited(); limited {
		r.later(to, f.ID, protocol.CodeRateLimited, "more messages than this client may send: slow down", wait)
		return
	}
	switch r.node.knows(r.ctx, f.To) {
	case session.Absent:
		r.send(protocol.Error{Code: protocol.CodeNoSession, Message: "the recipient has no session", ID: f.ID})
		return
	case session.Unknown:
		r.later(to, f.ID, protocol.CodeUnavailable, "recipients cannot be looked up now: send again", soon())
		return
	case session.Present:
	}
	value, err := record.Message{From: r.client, ID: f.ID, To: f.To, Payload: f.Payload}.Append(nil)
	if err != nil {
		r.refuse(err)
		return
	}
	m := outbox.Message{Sender: r.sender, ID: f.ID, Shard: to, Key: f.To, Value: value}
	r.node.outbox.Send(m, func(_ outbox.Receipt, err error) { r.outcome(f.ID, err) })
}

func (r *resident) limited() (wait time.Duration, limited bool) {
	now := r.node.now()
	reservation := r.pace.ReserveN(now, 1)
	if wait = reservation.DelayFrom(now); wait == 0 {
		return 0, false
	}
	reservation.CancelAt(now)
	return wait, true
}

// later asks the client to send the message again. The outbox is told, so that the client's next messages to that
// shard do not overtake it.
func (r *resident) later(to shard.ID, id, code, why string, wait time.Duration) {
	r.node.outbox.Refuse(r.sender, to, id)
	r.send(protocol.Error{Code: code, Message: why, ID: id, RetryAfter: wait})
}

// outcome answers the client. It is called by the outbox and does not block.
func (r *resident) outcome(id string, err error) {
	if err == nil {
		r.node.meter.CountAccepted()
		r.send(protocol.Accepted{ID: id})
		return
	}
	answer := protocol.Error{ID: id, Code: protocol.CodeUnavailable, RetryAfter: soon()}
	switch {
	case errors.Is(err, outbox.ErrHeld):
		answer.Code, answer.Message = protocol.CodeNotAccepted, outbox.ErrHeld.Error()
	case errors.Is(err, outbox.ErrFull):
		answer.Code, answer.Message = protocol.CodeOverloaded, outbox.ErrFull.Error()
	case errors.Is(err, outbox.ErrClosed):
		answer.Message = outbox.ErrClosed.Error()
	default:
		answer.Message = "the log does not take messages now: send again"
	}
	r.send(answer)
}

// ack moves the session's offset forward. An offset of another topic, or above what the client was given, counts as none.
func (r *resident) ack(offset protocol.Offset) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if offset.Topic != r.node.topic || offset.Value > max(r.highest.Load(), r.sub.Position()) {
		return
	}
	if r.acked.IsZero() || r.acked.Value < offset.Value {
		r.acked = offset
	}
}

// refresh takes a new token of the same client.
func (r *resident) refresh(raw string) {
	ctx, cancel := context.WithTimeout(r.ctx, r.node.o.WelcomeTimeout)
	defer cancel()
	identity, err := r.node.verifier.Verify(ctx, raw)
	switch {
	case errors.Is(err, token.ErrUnavailable):
		r.send(protocol.Error{Code: protocol.CodeUnavailable, Message: err.Error(), RetryAfter: soon()})
	case err != nil:
		r.send(protocol.Error{Code: protocol.CodeBadFrame, Message: err.Error()})
	case identity.Client != r.client:
		r.conn.Close(protocol.ClosePolicy, "the new token is another client's")
	default:
		r.mu.Lock()
		defer r.mu.Unlock()
		r.expiry.Reset(r.node.validFor(identity))
	}
}

// pong tells the client how far its inbox is delivered. Everything up to there was queued before this frame is.
func (r *resident) pong() {
	r.mu.Lock()
	position := r.sub.Position()
	r.mu.Unlock()
	var offset protocol.Offset
	if position >= 0 {
		offset = protocol.Offset{Topic: r.node.topic, Value: position}
	}
	r.send(protocol.Pong{Offset: offset})
}

// knows tells whether the recipient has a session. Those who live here need no look-up.
func (n *node) knows(ctx context.Context, client string) session.Answer {
	if n.residents.has(client) {
		return session.Present
	}
	return n.known.Lookup(ctx, client)
}
