package socket

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/engine"
)

// strangers holds the clients that bring no session to what the leader says this node can take. Who resumes a session is let
// in all the same and takes the room first. It is safe for concurrent use.
type strangers struct {
	mu    sync.Mutex
	limit shard.Limit
	pace  *rate.Limiter // nil without a limit of handshakes
}

// follow takes the newest word over. A pace that changes keeps what was used of it.
func (s *strangers) follow(limit shard.Limit, now time.Time) {
	switch {
	case limit.Handshakes == s.limit.Handshakes:
	case limit.Handshakes == 0:
		s.pace = nil
	case s.pace == nil:
		s.pace = rate.NewLimiter(rate.Limit(limit.Handshakes), limit.Handshakes)
	default:
		s.pace.SetLimitAt(now, rate.Limit(limit.Handshakes))
		s.pace.SetBurstAt(now, limit.Handshakes)
	}
	s.limit = limit
}

// full tells a stranger why there is no room; empty when there is. It takes nothing.
func (s *strangers) full(limit shard.Limit, open int, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.follow(limit, now)
	switch {
	case limit.Sessions > 0 && open >= limit.Sessions:
		return "this node carries all it can: try again"
	case s.pace != nil && s.pace.TokensAt(now) < 1:
		return "this node takes no more new clients at once: try again"
	default:
		return ""
	}
}

// admitted counts a client that is let in: also one that resumes takes from the pace, so that strangers wait for it.
func (s *strangers) admitted(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pace != nil {
		s.pace.ReserveN(now, 1)
	}
}

// limit is what the leader lets this node take of strangers.
func (n *node) limit() shard.Limit {
	if t, _, known := n.table.Latest(); known {
		return t.Nodes[n.id].Limit
	}
	return shard.Limit{}
}

// crowded refuses a stranger for whom there is no room.
func (n *node) crowded() *engine.Refusal {
	why := n.strangers.full(n.limit(), int(n.open.Load()), n.now())
	if why == "" {
		return nil
	}
	n.meter.CountRefused()
	wait := n.o.WS.RetryAfter
	return &engine.Refusal{Status: http.StatusServiceUnavailable, RetryAfter: wait + rand.N(wait+1), Message: why}
}

// Returns tells the engine that a client says it comes back to its session; whether it does is seen later.
func (n *node) Returns(r *http.Request) bool { return r.URL.Query().Has(protocol.ParamResume) }
