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

const (
	noRoom = "this node carries all it can: try again"
	noPace = "this node takes no more new clients at once: try again"
	// owed is how many seconds' worth of strangers those who resume may take ahead.
	owed = 1
	// limitLasts is how long a limit holds after the leader was last heard of, as long as a decision does. A leader writes its
	// table every few seconds, changed or not.
	limitLasts = 90 * time.Second
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
		return noRoom
	case s.pace != nil && s.pace.TokensAt(now) < 1:
		return noPace
	default:
		return ""
	}
}

// take lets a stranger in, or tells why not. It looks and takes in one step: of many that come at once each has its own.
func (s *strangers) take(limit shard.Limit, open int, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.follow(limit, now)
	switch {
	case limit.Sessions > 0 && open >= limit.Sessions:
		return noRoom
	case s.pace != nil && !s.pace.AllowN(now, 1):
		return noPace
	default:
		return ""
	}
}

// resumed counts a client that comes back: it takes from the pace too, so that strangers wait for it, but no further ahead than
// a second. Else a storm, or one client that connects in a loop, would lock them out long after it is over.
func (s *strangers) resumed(limit shard.Limit, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.follow(limit, now)
	if s.pace != nil && s.pace.TokensAt(now)-1 >= -owed*float64(limit.Handshakes) {
		s.pace.ReserveN(now, 1)
	}
}

// limit is what the leader lets this node take of strangers. One that no leader has stood by for a while counts no more: what
// it was made from is long over.
func (n *node) limit() shard.Limit {
	if t, _, known := n.table.Latest(); known && n.table.Age() < limitLasts {
		return t.Nodes[n.id].Limit
	}
	return shard.Limit{}
}

// crowded refuses a stranger for whom there is no room now. It takes nothing.
func (n *node) crowded() *engine.Refusal {
	return n.turnedAway(n.strangers.full(n.limit(), int(n.open.Load()), n.now()))
}

// enter counts who is let in, and refuses a stranger for whom there is no room.
func (n *node) enter(resumes bool) *engine.Refusal {
	if resumes {
		n.strangers.resumed(n.limit(), n.now())
		return nil
	}
	return n.turnedAway(n.strangers.take(n.limit(), int(n.open.Load()), n.now()))
}

// turnedAway is the answer to a stranger; nil when there is no reason to refuse it.
func (n *node) turnedAway(why string) *engine.Refusal {
	if why == "" {
		return nil
	}
	n.meter.CountRefused()
	wait := n.o.WS.RetryAfter
	return &engine.Refusal{Status: http.StatusServiceUnavailable, RetryAfter: wait + rand.N(wait+1), Message: why}
}

// Returns tells the engine that a client says it comes back to its session; whether it does is seen later.
func (n *node) Returns(r *http.Request) bool { return r.URL.Query().Has(protocol.ParamResume) }
