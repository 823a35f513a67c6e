package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/protocol"
)

// server is the Engine with a goroutine for each connection.
type server struct {
	options Options
	handler Handler
	refused func(status int)
	written func(after time.Duration)
	returns func(r *http.Request) bool
	logger  *slog.Logger
	limiter *rate.Limiter
	pool    buffers

	running sync.WaitGroup // every goroutine of a connection
	opened  atomic.Int64

	mu        sync.Mutex
	stop      chan struct{} // closed by Shutdown
	stopping  bool
	listeners map[net.Listener]struct{}
	pending   map[net.Conn]struct{} // in their handshake
	slots     int                   // of MaxConnections in use, from before Admit
	conns     map[*conn]struct{}
}

// New makes an engine. The options must be valid.
func New(o Options, h Handler, logger *slog.Logger) Engine {
	s := &server{
		options:   o,
		handler:   h,
		refused:   func(int) {},
		written:   func(time.Duration) {},
		returns:   func(*http.Request) bool { return false },
		logger:    logger,
		limiter:   rate.NewLimiter(rate.Limit(o.HandshakeRate), o.HandshakeBurst),
		stop:      make(chan struct{}),
		listeners: map[net.Listener]struct{}{},
		pending:   map[net.Conn]struct{}{},
		conns:     map[*conn]struct{}{},
	}
	if observer, ok := h.(RefusalObserver); ok {
		s.refused = observer.Refused
	}
	if observer, ok := h.(WriteObserver); ok {
		s.written = observer.Written
	}
	if returner, ok := h.(Returner); ok {
		s.returns = returner.Returns
	}
	return s
}

// Connections implements Engine.
func (s *server) Connections() int { return int(s.opened.Load()) }

// Serve implements Engine.
func (s *server) Serve(l net.Listener) error {
	if !s.listen(l) {
		_ = l.Close() // the engine has ended before it began here
		return nil
	}
	defer s.unlisten(l)
	var pause backoff
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause.reset()
			s.take(nc)
		case s.stopped():
			return nil
		case !passing(err):
			return fmt.Errorf("accept connections: %w", err)
		default:
			// Out of file descriptors, most likely: those that are closed meanwhile make room.
			s.logger.Warn("a connection could not be accepted", slog.String(logkey.Err, err.Error()))
			if !pause.wait(s.stop) {
				return nil
			}
		}
	}
}

// passing reports an accept error after which the listener is still good.
func passing(err error) bool {
	var timeout net.Error
	return !errors.Is(err, net.ErrClosed) && errors.As(err, &timeout)
}

// backoff is the wait between accepts that fail.
type backoff struct{ next time.Duration }

const (
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = time.Second
)

func (b *backoff) reset() { b.next = firstBackoff }

// wait reports false when the engine stopped meanwhile.
func (b *backoff) wait(stop <-chan struct{}) bool {
	timer := time.NewTimer(max(firstBackoff, b.next))
	defer timer.Stop()
	b.next = min(lastBackoff, 2*max(firstBackoff, b.next))
	select {
	case <-timer.C:
		return true
	case <-stop:
		return false
	}
}

func (s *server) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *server) unlisten(l net.Listener) {
	s.mu.Lock()
	delete(s.listeners, l)
	s.mu.Unlock()
	_ = l.Close() // closed for good either way
}

func (s *server) stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// take starts a connection's goroutine, or refuses it when too many handshakes are under way.
func (s *server) take(nc net.Conn) {
	s.mu.Lock()
	stopping := s.stopping
	full := len(s.pending) >= s.options.MaxHandshakes
	if !stopping && !full {
		s.pending[nc] = struct{}{}
		s.running.Add(1)
	}
	s.mu.Unlock()
	switch {
	case stopping:
		_ = nc.Close() // the engine has ended
	case full:
		s.turnAway(nc)
	default:
		go s.serve(nc)
	}
}

// serve is a connection's goroutine.
func (s *server) serve(nc net.Conn) {
	defer s.running.Done()
	c, rest := s.handshake(nc)
	if c == nil {
		return
	}
	c.run(rest)
	s.opened.Add(-1)
	s.mu.Lock()
	delete(s.conns, c)
	s.slots--
	s.mu.Unlock()
}

// reserve takes a place for a connection before its token is looked at: that is the expensive part.
func (s *server) reserve() *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopping:
		return over(s.options.RetryAfter, "this node is closing: connect again through resolve")
	case s.slots >= s.options.MaxConnections:
		return over(s.options.RetryAfter, "this node is full: connect again through resolve")
	}
	s.slots++
	return nil
}

func (s *server) unreserve() {
	s.mu.Lock()
	s.slots--
	s.mu.Unlock()
}

// forget takes a connection out of those in their handshake.
func (s *server) forget(nc net.Conn) {
	s.mu.Lock()
	delete(s.pending, nc)
	s.mu.Unlock()
}

// enter makes a connection known. It reports false when the engine is stopping: then the connection must close itself.
func (s *server) enter(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, c.nc)
	s.conns[c] = struct{}{}
	return !s.stopping
}

// Shutdown implements Engine.
func (s *server) Shutdown(ctx context.Context) error {
	for _, c := range s.ceaseAccepting() {
		c.Close(protocol.CloseMoved, closingReason)
	}
	gone := make(chan struct{})
	go func() {
		s.running.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	left := s.left()
	for _, c := range left {
		_ = c.nc.Close() // cut: its goroutine ends with it
	}
	return fmt.Errorf("engine: %d connections were cut: %w", len(left), ctx.Err())
}

const closingReason = "the node is closing"

// ceaseAccepting closes the listeners and drops what is in its handshake, and gives the connections.
func (s *server) ceaseAccepting() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.stopping = true
		close(s.stop)
	}
	for l := range s.listeners {
		_ = l.Close() // Serve returns and forgets it
	}
	for nc := range s.pending {
		_ = nc.SetReadDeadline(time.Unix(1, 0)) // a head that is not whole by now will not be; the answer can still go out
	}
	return s.leftLocked()
}

func (s *server) left() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leftLocked()
}

func (s *server) leftLocked() []*conn {
	left := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		left = append(left, c)
	}
	return left
}
