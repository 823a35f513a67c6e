package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/socket/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// end is what a receiver was told last.
type end struct {
	code  uint16
	cause error
}

// session is a receiver that echoes, and keeps what it was told.
type session struct {
	conn   engine.Conn
	ticket any
	frame  func(s *session, data []byte)
	closed chan end

	forgets  bool
	mu       sync.Mutex
	messages []string
}

func (s *session) Frame(data []byte) {
	if !s.forgets {
		s.mu.Lock()
		s.messages = append(s.messages, string(data))
		s.mu.Unlock()
	}
	s.frame(s, data)
}

func (s *session) Closed(code uint16, cause error) { s.closed <- end{code, cause} } // a second call blocks: the tests would hang

func (s *session) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.messages...)
}

// host is a handler whose parts a test can set.
type host struct {
	admit    func(r *http.Request) (any, *engine.Refusal)
	opened   func(s *session)
	frame    func(s *session, data []byte)
	sessions chan *session
	forgets  bool // messages are not kept

	mu      sync.Mutex
	refused []int
	written []time.Duration
}

func newHost() *host {
	return &host{
		admit:    func(*http.Request) (any, *engine.Refusal) { return "ticket", nil },
		opened:   func(*session) {},
		frame:    func(s *session, data []byte) { s.conn.Send(data) },
		sessions: make(chan *session, 4096),
	}
}

func (h *host) Admit(r *http.Request) (any, *engine.Refusal) { return h.admit(r) }

func (h *host) Open(c engine.Conn, ticket any) engine.Receiver {
	s := &session{conn: c, ticket: ticket, frame: h.frame, closed: make(chan end, 1), forgets: h.forgets}
	h.opened(s)
	h.sessions <- s
	return s
}

func (h *host) Refused(status int) {
	h.mu.Lock()
	h.refused = append(h.refused, status)
	h.mu.Unlock()
}

func (h *host) Written(after time.Duration) {
	h.mu.Lock()
	h.written = append(h.written, after)
	h.mu.Unlock()
}

func (h *host) refusals() []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]int(nil), h.refused...)
}

// quick are options whose waits a test can afford.
func quick() engine.Options {
	o := engine.Default()
	o.HandshakeRate, o.HandshakeBurst = 1e6, 100_000
	o.CloseTimeout = 500 * time.Millisecond
	return o
}

// rig is a running engine on a loopback port.
type rig struct {
	engine.Engine
	*host
	addr string
}

func start(tb testing.TB, o engine.Options, h *host) *rig {
	tb.Helper()
	return serve(tb, o, h, h)
}

// serve runs an engine for a handler that has the host's parts and others.
func serve(tb testing.TB, o engine.Options, h *host, handler engine.Handler) *rig {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	if err := o.Validate(); err != nil {
		tb.Fatal(err)
	}
	r := &rig{Engine: engine.New(o, handler, slog.New(slog.DiscardHandler)), host: h, addr: l.Addr().String()}
	served := make(chan error, 1)
	go func() { served <- r.Serve(l) }()
	tb.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		if err := r.Shutdown(ctx); err != nil {
			tb.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			tb.Errorf("Serve returned %v after Shutdown", err)
		}
		if n := r.Connections(); n != 0 {
			tb.Errorf("%d connections are counted after the end", n)
		}
	})
	return r
}

// neighbour is a healthy connection of an independent client; check fails when it no longer works.
func neighbour(tb testing.TB, addr string) (check func(tb testing.TB)) {
	tb.Helper()
	c := websocketDial(tb, addr)
	n := 0
	return func(tb testing.TB) {
		tb.Helper()
		n++
		want := fmt.Sprintf("still here %d", n)
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		if err := c.Write(ctx, websocket.MessageText, []byte(want)); err != nil {
			tb.Fatalf("the neighbour was hit: %v", err)
		}
		if _, got, err := c.Read(ctx); err != nil || string(got) != want {
			tb.Fatalf("the neighbour was hit: it read %q, %v", got, err)
		}
	}
}

func websocketDial(tb testing.TB, addr string) *websocket.Conn {
	tb.Helper()
	transport := &http.Transport{}
	tb.Cleanup(transport.CloseIdleConnections)
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	c, answer, err := websocket.Dial(ctx, "ws://"+addr+protocol.ConnectPath, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, Subprotocols: []string{protocol.Subprotocol, "bearer.a.b.c"},
	})
	if err != nil {
		tb.Fatalf("dial: %v, %v", answer, err)
	}
	tb.Cleanup(func() { _ = c.CloseNow() })
	return c
}

// closedWith waits for the end of a session.
func closedWith(tb testing.TB, s *session) end {
	tb.Helper()
	select {
	case e := <-s.closed:
		return e
	case <-time.After(15 * time.Second):
		tb.Fatal("the receiver was never told that the connection has ended: its session would live for ever")
		return end{}
	}
}
