package socket

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tidegate/tidegate/internal/protocol"
)

// peer is a client that the test drives by hand.
type peer struct {
	t    *testing.T
	id   string
	conn *websocket.Conn
	// frames gets all frames but messages, which have a channel of their own.
	frames   chan protocol.ServerFrame
	messages chan protocol.Message
	// ended gets the close code, or 1006.
	ended   chan websocket.CloseError
	welcome protocol.Welcome
	last    protocol.Offset
}

// dialed is a handshake that was refused.
type dialed struct {
	status     int
	retryAfter string
}

func (d *dialed) Error() string { return fmt.Sprintf("handshake answered %d", d.status) }

// refusedWith reports whether a handshake was refused with the status, and when the client may come back.
func refusedWith(err error, status int) (refused bool, retryAfter string) {
	var d *dialed
	if !errors.As(err, &d) {
		return false, ""
	}
	return d.status == status, d.retryAfter
}

// dial opens a connection without waiting for a frame.
func dial(t *testing.T, to, id string, query url.Values) (*peer, error) {
	t.Helper()
	if query == nil {
		query = url.Values{}
	}
	if !query.Has(protocol.ParamToken) {
		query.Set(protocol.ParamClient, id)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, response, err := websocket.Dial(ctx, to+"?"+query.Encode(), &websocket.DialOptions{Subprotocols: []string{protocol.Subprotocol}})
	if err != nil {
		if response != nil {
			return nil, &dialed{status: response.StatusCode, retryAfter: response.Header.Get("Retry-After")}
		}
		return nil, err
	}
	conn.SetReadLimit(protocol.MaxServerFrameBytes)
	p := &peer{t: t, id: id, conn: conn, frames: make(chan protocol.ServerFrame, 4096), messages: make(chan protocol.Message, 4096), ended: make(chan websocket.CloseError, 1)}
	done := make(chan struct{})
	go func() { defer close(done); p.read() }()
	t.Cleanup(func() {
		_ = conn.CloseNow()
		<-done
	})
	return p, nil
}

func (p *peer) read() {
	for {
		_, data, err := p.conn.Read(context.Background())
		if err != nil {
			var closed websocket.CloseError
			if !errors.As(err, &closed) {
				closed.Code = websocket.StatusAbnormalClosure
			}
			p.ended <- closed
			return
		}
		frame, err := protocol.DecodeServer(data)
		if err != nil {
			p.t.Errorf("a frame of the node cannot be read: %v", err)
			continue
		}
		if message, ok := frame.(protocol.Message); ok {
			p.messages <- message
			continue
		}
		p.frames <- frame
	}
}

// connect opens a connection and waits for its welcome.
func connect(t *testing.T, to, id string, query url.Values) *peer {
	t.Helper()
	p, err := dial(t, to, id, query)
	if err != nil {
		t.Fatalf("connect %s: %v", id, err)
	}
	p.welcome = next[protocol.Welcome](p)
	return p
}

// resume opens a new connection for the same session elsewhere.
func (p *peer) resume(to string) *peer {
	p.t.Helper()
	again := connect(p.t, to, p.id, p.place())
	again.last = p.last
	return again
}

func (p *peer) place() url.Values {
	query := url.Values{protocol.ParamResume: {p.welcome.ResumeToken}}
	if !p.last.IsZero() {
		query.Set(protocol.ParamOffset, p.last.String())
	}
	return query
}

// next waits for the next frame of a kind that is no message; pongs and drains are passed over.
func next[T protocol.ServerFrame](p *peer) T {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case frame := <-p.frames:
			if wanted, ok := frame.(T); ok {
				return wanted
			}
			switch frame.(type) {
			case protocol.Pong, protocol.Drain:
			default:
				p.t.Fatalf("%s got %#v, want %T", p.id, frame, *new(T))
			}
		case <-timeout:
			p.t.Fatalf("%s waited in vain for %T", p.id, *new(T))
		}
	}
}

func (p *peer) write(f protocol.ClientFrame) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := p.conn.Write(ctx, websocket.MessageText, f.Append(nil)); err != nil {
		p.t.Fatalf("%s cannot write: %v", p.id, err)
	}
}

// send sends a message and waits until it is accepted.
func (p *peer) send(to, id string) {
	p.t.Helper()
	p.write(protocol.Send{ID: id, To: to, Payload: []byte(strconv.Quote("payload of " + id))})
	if got := next[protocol.Accepted](p); got.ID != id {
		p.t.Fatalf("%q was accepted, want %q", got.ID, id)
	}
}

// receive waits for the next message and acks it.
func (p *peer) receive(from, id string) {
	p.t.Helper()
	var got protocol.Message
	select {
	case got = <-p.messages:
	case <-time.After(patience):
		p.t.Fatalf("%s waited in vain for %q from %q", p.id, id, from)
	}
	if got.From != from || got.ID != id || string(got.Payload) != strconv.Quote("payload of "+id) {
		p.t.Fatalf("%s received %q from %q with %s, want %q from %q", p.id, got.ID, got.From, got.Payload, id, from)
	}
	p.last = got.Offset
	p.write(protocol.Ack{Offset: got.Offset})
}

// quiet asserts that no message waits: a ping's answer comes after everything that was sent before.
func (p *peer) quiet() {
	p.t.Helper()
	p.write(protocol.Ping{})
	if pong := next[protocol.Pong](p); !pong.Offset.IsZero() {
		p.last = pong.Offset
	}
	select {
	case m := <-p.messages:
		p.t.Fatalf("%s got %q from %q, want nothing more", p.id, m.ID, m.From)
	default:
	}
}

// closedWith waits for the end of the connection.
func (p *peer) closedWith(code uint16) {
	p.t.Helper()
	select {
	case closed := <-p.ended:
		p.ended <- closed
		if uint16(closed.Code) != code {
			p.t.Fatalf("the connection of %s closed with %d (%s), want %d", p.id, closed.Code, closed.Reason, code)
		}
	case <-time.After(patience):
		p.t.Fatalf("the connection of %s did not close, want %d", p.id, code)
	}
}
