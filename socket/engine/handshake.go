package engine

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/tidegate/tidegate/internal/protocol"
)

const (
	// lingerBytes is how much of a refused request is read away, so that the answer is not lost to a reset.
	lingerBytes = 64 << 10
	// farewell is how long the answer to a refused handshake may take.
	farewell = time.Second
)

// handshake takes one connection from its first byte to its start. It gives nil when there is no connection; then nc is closed.
// rest is what the client sent behind its handshake.
func (s *server) handshake(nc net.Conn) (*conn, []byte) {
	deadline := time.Now().Add(s.options.HandshakeTimeout)
	_ = nc.SetDeadline(deadline) // fails only on a closed connection: the read says so
	c, rest, refused := s.negotiate(nc, deadline)
	if c != nil {
		return c, rest
	}
	if refused != nil {
		s.refused(refused.Status)
		s.bye(nc, refused)
	}
	s.forget(nc)
	_ = nc.Close() // nothing is lost: there was no connection yet
	return nil, nil
}

// negotiate reads the head and opens the connection, or says why not; neither for a client that went away.
func (s *server) negotiate(nc net.Conn, deadline time.Time) (*conn, []byte, *answer) {
	if s.stopped() { // Shutdown wakes those that it finds waiting; this one was not yet
		return nil, nil, over(s.options.RetryAfter, "this node is closing: connect again through resolve")
	}
	head, rest, refused, err := readHead(nc, s.options.MaxHeaderBytes)
	switch {
	case err != nil:
		return nil, nil, late(err)
	case refused != nil:
		return nil, nil, refused
	}
	c, refused := s.admit(nc, head, deadline)
	return c, rest, refused
}

// late answers a head that did not come in time; a client that went away gets none.
func late(err error) *answer {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return refuse(http.StatusRequestTimeout, "the handshake did not come in time")
	}
	return nil
}

// admit judges a whole head and opens the connection, or says why not.
func (s *server) admit(nc net.Conn, head []byte, deadline time.Time) (*conn, *answer) {
	r, refused := parseHead(head)
	if refused == nil {
		refused = check(r, s.options.Origins)
	}
	if refused == nil && !s.allow(r) {
		refused = over(s.options.RetryAfter, "too many clients connect at once: wait and connect again")
	}
	if refused == nil {
		refused = s.reserve()
	}
	if refused != nil {
		return nil, refused
	}
	ctx, stop := context.WithDeadline(context.Background(), deadline)
	defer stop()
	r = r.WithContext(ctx)
	r.RemoteAddr = nc.RemoteAddr().String()
	ticket, declined := s.handler.Admit(r)
	if declined != nil {
		s.unreserve()
		// The handler knows of its own refusals: the observer is not told.
		s.bye(nc, &answer{Refusal: *declined})
		return nil, nil
	}
	return s.open(nc, r.Header.Get("Sec-Websocket-Key"), ticket), nil
}

// ahead is how far clients that come back may be ahead of the handshake rate: all others wait until that is made up for.
const ahead = time.Second

// allow takes a handshake from the rate.
func (s *server) allow(r *http.Request) bool {
	if s.limiter.Allow() {
		return true
	}
	if !s.returns(r) {
		return false
	}
	taken := s.limiter.Reserve()
	if !taken.OK() || taken.Delay() > ahead {
		taken.Cancel()
		return false
	}
	return true
}

// open completes the handshake and starts the connection. A client that has gone meanwhile still gets its Open, so that the
// ticket comes to its end; the first read finds out.
func (s *server) open(nc net.Conn, key string, ticket any) *conn {
	_, err := nc.Write(switching(key))
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	c := newConn(s, nc)
	stays := s.enter(c)
	s.opened.Add(1)
	c.receiver = s.handler.Open(c, ticket)
	if err != nil {
		c.broken(err)
	}
	if !stays {
		c.Close(protocol.CloseMoved, closingReason)
	}
	return c
}

// bye sends the answer and reads away what the client still sends, for a short while.
func (s *server) bye(nc net.Conn, a *answer) {
	_ = nc.SetDeadline(time.Now().Add(farewell)) // fails only on a closed connection: the write says so
	if _, err := nc.Write(a.bytes()); err != nil {
		return
	}
	if half, ok := nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() != nil {
		return
	}
	chunk := s.pool.chunk()
	defer s.pool.putChunk(chunk)
	for left := lingerBytes; left > 0; {
		n, err := nc.Read(chunk[:])
		if left -= n; err != nil {
			return
		}
	}
}

// turnAway answers a connection for which there is no room to even read its handshake. It must not block: it runs between
// accepts. The answer fits into the socket's buffer.
func (s *server) turnAway(nc net.Conn) {
	refused := over(s.options.RetryAfter, "too many clients connect at once: wait and connect again")
	s.refused(refused.Status)
	_ = nc.SetDeadline(time.Now().Add(turnAwayTime)) // fails only on a closed connection
	_, _ = nc.Write(refused.bytes())                 // a client that does not take it has lost nothing else
	_ = nc.Close()                                   // as above
}

// turnAwayTime bounds what turning away one client may cost the accept loop.
const turnAwayTime = 10 * time.Millisecond
