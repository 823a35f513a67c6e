package socket

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/record"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/internal/token"
	"github.com/tidegate/tidegate/socket/inbox"
	"github.com/tidegate/tidegate/socket/session"
)

// resumeTokenLife is how long a resume token proves its session. A session may last for days before its client needs
// the token, and the token alone gives nothing: it counts only with the client's own JWT.
const resumeTokenLife = 7 * 24 * time.Hour

// start brings a session up, or turns its client away: this node must own the shard and have read it, the epoch is
// raised in Redis, the start is written to the log (so that older sessions of the client close wherever they are), and
// then the client is welcomed and gets what it missed.
func (n *node) start(r *resident) {
	ctx, cancel := context.WithTimeout(r.ctx, n.o.WelcomeTimeout)
	defer cancel()
	err := n.begin(ctx, r)
	if err == nil || r.ctx.Err() != nil {
		return
	}
	var e *ending
	if !errors.As(err, &e) {
		e = overloaded("the session could not be started: try again", err)
	}
	if e.cause != nil {
		n.logger.Warn("session not started", slog.String(logkey.Client, r.client), slog.String(logkey.Reason, e.reason), slog.Any(logkey.Err, e.cause))
	}
	r.turnAway(e)
}

func (n *node) begin(ctx context.Context, r *resident) error {
	if err := n.place(ctx, r.shard, r.ticket.table); err != nil {
		return err
	}
	from, given, fresh, err := n.claim(ctx, r)
	if err != nil {
		return err
	}
	if err := n.announce(ctx, r); err != nil {
		return err
	}
	n.residents.add(r)
	newest := n.starts.newest(r.shard, r.client)
	if own := r.facing(newest); older(own, newest) {
		r.supersede(own, newest)
		return nil
	}
	// Only now, when the mover sees the session: a table that comes later finds it here, and an earlier one is this.
	if err := n.elsewhereNow(r.shard); err != nil {
		return err
	}
	if n.draining() {
		return away()
	}
	return n.welcome(r, from, given, fresh)
}

// claim takes the client's record over and decides the session's id and epoch, and from where it goes on: the client's
// own offset, else its record's; given says that there is one. fresh says that Redis holds the record.
func (n *node) claim(ctx context.Context, r *resident) (from int64, given, fresh bool, err error) {
	t := r.ticket
	r.own = start{session: t.resume.Session, node: n.id, offset: -1}
	if !t.resumes {
		r.own.session = rand.Text()
	}
	proven := n.proven(r)
	epoch, before, _, err := n.store.Start(ctx, session.Record{Client: r.client, Session: r.own.session, Epoch: proven, Node: n.id})
	switch {
	case err == nil:
		r.own.epoch, fresh = epoch, true
	case t.resumes:
		// Redis is a hint: the token proves the session, and the log will tell the older one.
		r.own.epoch = proven + 1
	default:
		return 0, false, false, overloaded("sessions cannot be looked up now: try again", err)
	}
	for _, offset := range []protocol.Offset{t.offset, before.Offset} {
		// An offset of another topic counts as none: that log is gone.
		if offset.Topic == n.topic {
			return offset.Value, true, fresh, nil
		}
	}
	return inbox.None, false, fresh, nil
}

// proven is the highest epoch of the client that is known without Redis.
func (n *node) proven(r *resident) uint64 {
	highest := max(r.ticket.resume.Epoch, n.starts.newest(r.shard, r.client).epoch)
	for _, other := range n.residents.of(r.client) {
		highest = max(highest, other.Record().Epoch)
	}
	return highest
}

// announce writes the session's start to its shard and learns where it stands there.
func (n *node) announce(ctx context.Context, r *resident) error {
	value, err := record.Session{Client: r.client, Session: r.own.session, Epoch: r.own.epoch, Node: n.id}.Append(nil)
	if err != nil {
		return err
	}
	receipt, err := n.outbox.Produce(ctx, r.shard, r.client, value)
	if err != nil {
		return overloaded("the log does not take the session now: try again", err)
	}
	r.announced(receipt.Offset)
	return nil
}

// welcome greets the client and begins to deliver.
func (n *node) welcome(r *resident, from int64, given, fresh bool) error {
	sub, begin, err := n.inbox.Attach(r.client, from, r)
	if err != nil {
		if sentOn := n.elsewhereNow(r.shard); sentOn != nil {
			return sentOn
		}
		return overloaded("the shard is not ready here any more: try again", err)
	}
	resumed := given && begin.Resumed
	r.mu.Lock()
	r.sub = sub
	if resumed {
		r.acked = protocol.Offset{Topic: n.topic, Value: from}
	}
	r.mu.Unlock()
	r.send(protocol.Welcome{
		ClientID: r.client, NodeID: string(n.id), Epoch: r.own.epoch, Resumed: resumed,
		ResumeToken: n.ring.Sign(token.Resume{
			Fleet: n.o.Fleet, Client: r.client, Session: r.own.session, Epoch: r.own.epoch, Expires: n.now().Add(resumeTokenLife),
		}),
	})
	closed := n.keeper.Track(r, fresh && !resumed)
	expiry := time.AfterFunc(n.validFor(r.ticket.identity), r.expire)
	r.mu.Lock()
	r.closed, r.expiry = closed, expiry
	r.mu.Unlock()
	n.meter.CountHandshake()
	r.live.Store(true)
	sub.Begin()
	return nil
}

// validFor is how long a token still counts. Verify forgives clocks that differ a little, so the end must too: else a
// client that was let in would be thrown out at once, and come back.
func (n *node) validFor(identity token.Identity) time.Duration {
	return max(0, identity.Expires.Add(token.Leeway).Sub(n.now()))
}

func (r *resident) expire() {
	r.conn.Close(protocol.CloseExpired, "the token has expired: come back with a new one")
}

// overloaded turns a client away for now.
func overloaded(why string, cause error) *ending {
	return &ending{
		frame: protocol.Error{Code: protocol.CodeUnavailable, Message: why, RetryAfter: soon()},
		code:  protocol.CloseOverload, reason: why, cause: cause,
	}
}

// moved sends a client to its shard's owner.
func moved(url string) *ending {
	return &ending{frame: protocol.Moved{URL: url}, code: protocol.CloseMoved, reason: "the client belongs to another node"}
}

// away turns a client away because the node itself goes.
func away() *ending {
	const why = "this node is going away: resolve again"
	return &ending{
		frame: protocol.Error{Code: protocol.CodeUnavailable, Message: why, RetryAfter: soon()},
		code:  protocol.CloseMoved, reason: why,
	}
}

// place waits until this node may take clients of the shard: it owns it, or is its next owner, and has read it. The
// client is sent on when the shard belongs to another node.
func (n *node) place(ctx context.Context, id shard.ID, wanted uint64) error {
	if t, _, ok := n.table.Latest(); !ok || wanted > t.Version {
		n.refresh(ctx, wanted)
	}
	for {
		ready, changed := n.readiness.changed(), n.table.Changed()
		if n.draining() {
			return away()
		}
		t, _, ok := n.table.Latest()
		if ok {
			here := n.serves(t.Rows[id])
			if here && n.inbox.Ready(id) {
				return nil
			}
			if !here && t.Rows[id].Owner != "" {
				return moved(t.OwnerURL(id))
			}
		}
		select {
		case <-ready:
		case <-changed:
		case <-ctx.Done():
			return overloaded("the shard is not ready yet: try again", fmt.Errorf("shard %d: %w", id, ctx.Err()))
		}
	}
}

// elsewhereNow sends a client on when the newest table gives its shard to another node; it never waits.
func (n *node) elsewhereNow(id shard.ID) error {
	t, _, ok := n.table.Latest()
	if !ok || t.Rows[id].Owner == "" || n.serves(t.Rows[id]) {
		return nil
	}
	return moved(t.OwnerURL(id))
}

// refresh reads the table again because a client was sent here by a newer one. Only one reads at a time, and what
// another has just tried is not tried again: a client that makes up a version must not cost anybody anything.
func (n *node) refresh(ctx context.Context, wanted uint64) {
	select {
	case n.refreshing <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-n.refreshing }()
	if t, _, ok := n.table.Latest(); ok && wanted <= t.Version || n.now().Sub(n.refreshed) < refreshPause {
		return
	}
	if err := n.table.Refresh(ctx); err != nil {
		n.logger.Debug("table not read again", slog.Any(logkey.Err, err))
	}
	n.refreshed = n.now()
}
