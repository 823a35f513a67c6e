package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/protocol"
)

// movesBeforeWait is how many answers "not here" in a row a client follows at once before it waits: a table may be a
// moment old, but two nodes that send a client to and fro must not be run down.
const movesBeforeWait = 3

// loop is the state of one Run. Only Run's goroutine touches it.
type loop struct {
	c        *Client
	in       *incoming
	out      *outgoing
	current  *link
	resume   string
	dialing  bool
	redial   time.Time // when to dial next; zero is not planned
	target   string    // where to dial next; empty is resolve
	failures int
	moves    int
	// replaced says that the old connection closed as replaced while a newer one of this client was being opened: most
	// likely by it. Only when that attempt fails was it somebody else.
	replaced bool
	lostAt   time.Time
	ackAt    time.Time
	pingAt   time.Time
	workers  sync.WaitGroup
}

// Run connects and stays connected until ctx ends (nil), or the client was replaced (ErrReplaced) or is refused
// (ErrRefused). It may be called once. When it returns, every queued message that is not accepted got ErrClosed.
func (c *Client) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	l := &loop{c: c, in: newIncoming(), out: newOutgoing(), redial: time.Now(), pingAt: time.Now().Add(c.o.PingEvery)}
	err := l.run(ctx)
	if l.current != nil {
		_ = l.current.conn.Close(websocket.StatusNormalClosure, "")
	}
	cancel()
	l.workers.Wait()
	left := c.sends.close()
	l.out.drop(ErrClosed)
	for _, p := range left {
		p.done(ErrClosed)
	}
	return err
}

func (l *loop) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.c.sends.wake:
			for _, p := range l.c.sends.take() {
				l.send(ctx, p)
			}
		case e := <-l.c.events:
			if err := l.handle(ctx, e); err != nil {
				return err
			}
		case <-timer.C:
		}
		timer.Reset(time.Until(l.tick(ctx, time.Now())))
	}
}

// tick does what is due and returns when it must be called again.
func (l *loop) tick(ctx context.Context, now time.Time) time.Time {
	if !l.redial.IsZero() && !l.dialing && !now.Before(l.redial) {
		l.dial(ctx)
	}
	next := l.pingAt
	if l.current != nil {
		next = earlier(next, l.tickLink(ctx, now))
	} else if !now.Before(l.pingAt) {
		l.pingAt = now.Add(l.c.o.PingEvery)
		next = l.pingAt
	}
	if !l.dialing {
		next = earlier(next, l.redial)
	}
	return next
}

// tickLink does what is due on an open connection.
func (l *loop) tickLink(ctx context.Context, now time.Time) time.Time {
	if !l.ackAt.IsZero() && !now.Before(l.ackAt) {
		l.ackAt = time.Time{}
		if offset, due := l.in.due(); due {
			l.current.write(ctx, protocol.Ack{Offset: offset})
		}
	}
	if !now.Before(l.pingAt) {
		l.pingAt = now.Add(l.c.o.PingEvery)
		l.current.write(ctx, protocol.Ping{})
	}
	leave, next := l.out.due(now)
	for _, p := range leave {
		l.current.write(ctx, p.frame)
	}
	return earlier(earlier(next, l.ackAt), l.pingAt)
}

// earlier is the earlier of two times of which a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (l *loop) send(ctx context.Context, p *pending) {
	leave, fresh := l.out.push(p)
	if !fresh {
		p.done(fmt.Errorf("id %q already waits to be accepted: %w", p.frame.ID, ErrNotSent))
		return
	}
	if leave && l.current != nil {
		l.current.write(ctx, p.frame)
	}
}

// dial resolves when no address is known, and opens a connection, beside the loop: an old connection goes on meanwhile.
func (l *loop) dial(ctx context.Context) {
	target, resume, last := l.target, l.resume, l.in.last
	l.dialing, l.redial, l.target = true, time.Time{}, ""
	l.workers.Go(func() {
		dialCtx, cancel := context.WithTimeout(ctx, l.c.o.DialTimeout)
		defer cancel()
		opened, movedTo, err := l.c.connect(dialCtx, target, resume, last)
		if !l.c.tell(ctx, event{opened: opened, movedTo: movedTo, err: err}) && opened != nil {
			_ = opened.conn.CloseNow()
		}
	})
}

func (c *Client) connect(ctx context.Context, target, resume string, last protocol.Offset) (*link, string, error) {
	var token string
	if c.o.Token != nil {
		var err error
		if token, err = c.o.Token(ctx); err != nil {
			return nil, "", fmt.Errorf("token: %w", err)
		}
	}
	place := Place{URL: target}
	if target == "" {
		var err error
		if place, err = c.o.Resolve(ctx, c.o.Client, token); err != nil {
			return nil, "", err
		}
	}
	full, err := address(place.URL, place, resume, last)
	if err != nil {
		return nil, "", err
	}
	if token == "" {
		full = withClient(full, c.o.Client)
	}
	opened, movedTo, err := c.open(ctx, full, token)
	if opened != nil {
		opened.asked = last
	}
	return opened, movedTo, err
}

// handle follows one event; an error ends the Run.
func (l *loop) handle(ctx context.Context, e event) error {
	switch {
	case e.link == nil:
		return l.attempted(ctx, e)
	case e.err != nil:
		return l.ended(e.link, e.err)
	default:
		l.frame(ctx, e.link, e.frame)
		return nil
	}
}

// attempted follows the end of a dial.
func (l *loop) attempted(ctx context.Context, e event) error {
	l.dialing = false
	switch {
	case e.opened != nil:
		l.take(ctx, e.opened)
		return nil
	case e.err == nil:
		l.moves++
		l.target = e.movedTo
		l.plan(0)
		if l.moves > movesBeforeWait {
			l.target = ""
			l.plan(jittered(l.c.o.MaxBackoff / 10))
		}
		return nil
	case errors.Is(e.err, ErrRefused):
		return e.err
	case l.replaced:
		return ErrReplaced
	default:
		l.c.o.Logger.Debug("connect failed", slog.String(logkey.Client, l.c.o.Client), slog.Any(logkey.Err, e.err))
		l.plan(l.wait(e.err))
		return nil
	}
}

// take makes a new link the current one. An older one may finish: the node closes it when the session has moved.
func (l *loop) take(ctx context.Context, opened *link) {
	old := l.current
	l.current, l.resume, l.failures, l.moves, l.replaced = opened, opened.welcome.ResumeToken, 0, 0, false
	l.c.connects.Add(1)
	if old != nil {
		l.c.moves.Add(1)
		time.AfterFunc(l.c.o.RetireAfter, func() { _ = old.conn.CloseNow() })
		l.change(MovedOver)
	} else {
		if !l.lostAt.IsZero() {
			l.noteGap(time.Since(l.lostAt))
		}
		l.change(Connected)
	}
	if !opened.asked.IsZero() && !opened.welcome.Resumed {
		l.c.gaps.Add(1)
		l.startOver(opened, old)
		l.change(Gap)
	}
	l.workers.Go(func() { l.c.pump(ctx, opened) })
	for _, p := range l.out.heads() {
		opened.write(ctx, p.frame)
	}
}

// startOver forgets the offset: the node did not take it, so what it counts from now on has nothing to do with it (the
// log was cut, or made anew). The old connection must not be heard any more, or its offsets would hide messages of the
// new one; the (from, id) filter goes on.
func (l *loop) startOver(opened, old *link) {
	l.in.last, l.in.acked, opened.asked, opened.anew = protocol.Offset{}, protocol.Offset{}, protocol.Offset{}, true
	if old != nil {
		old.deaf = true
		_ = old.conn.CloseNow()
	}
}

func (l *loop) noteGap(gap time.Duration) {
	l.lostAt = time.Time{}
	if int64(gap) > l.c.longestGap.Load() {
		l.c.longestGap.Store(int64(gap))
	}
}
