package socket

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/internal/fenced"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/record"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/internal/token"
	"github.com/tidegate/tidegate/socket/inbox"
	"github.com/tidegate/tidegate/socket/outbox"
	"github.com/tidegate/tidegate/socket/report"
	"github.com/tidegate/tidegate/socket/session"
	"github.com/tidegate/tidegate/socket/usage"
)

// refreshPause is the shortest time between two readings of the table that clients cause.
const refreshPause = 200 * time.Millisecond

// node is one socket node: the engine's handler, the inbox's listener, and what decides about shards and sessions.
type node struct {
	o      Options
	id     fleet.NodeID
	topic  string
	shards int
	now    func() time.Time
	logger *slog.Logger

	redis    redis.UniversalClient
	table    *fenced.Feed[*shard.Table]
	inbox    *inbox.Inbox
	outbox   *outbox.Outbox
	store    *session.Store
	known    *session.Known
	keeper   *session.Keeper
	verifier token.Verifier
	ring     *token.Ring
	meter    *report.Meter
	metrics  *metrics
	reporter *report.Reporter
	usage    *usage.Meter
	// reading is the newest usage reading.
	reading atomic.Pointer[usage.Reading]

	residents *residents
	starts    *starts
	strangers strangers
	// readiness tells that a shard became ready, or stopped being it; stirred that the mover may have work.
	readiness *pulse
	stirred   *pulse
	// open counts connections from Open to Closed, whether their session started or not.
	open atomic.Int64
	// serial numbers the connections of this process.
	serial atomic.Uint64

	refreshing chan struct{}
	refreshed  time.Time // when the table was last read for a client; guarded by refreshing

	lifecycle *lifecycle

	// ctx ends when the node stops; work counts what must end then.
	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup
}

// SessionStarted closes the older sessions of a client that has connected anew, here or elsewhere.
func (n *node) SessionStarted(id shard.ID, s record.Session, offset int64) {
	read := n.starts.note(id, s, offset, n.now())
	for _, r := range n.residents.of(s.Client) {
		r.replaced(read)
	}
}

// ReadyChanged wakes the sessions that wait for their shard.
func (n *node) ReadyChanged() {
	n.readiness.tell()
	n.reporter.Changed()
}

// ShardStopped closes the sessions whose deliveries ended under them: they must come again.
func (n *node) ShardStopped(id shard.ID, ended []*inbox.Subscription) {
	if len(ended) > 0 {
		n.logger.Warn("shard stopped under its sessions", slog.Int(logkey.Shard, int(id)), slog.Int(logkey.Sessions, len(ended)))
	}
	for _, sub := range ended {
		if r, ours := sub.Receiver().(*resident); ours {
			r.conn.Close(protocol.CloseMoved, "the shard is read anew: connect again")
		}
	}
}

// left takes a session out after its connection has ended.
func (n *node) left(r *resident, code uint16, cause error) {
	last := n.residents.remove(r)
	n.metrics.closed(code)
	n.lifecycle.left(r.how.Load())
	// Last, since a drain ends when nothing is open, and its summary must have counted this session.
	n.open.Add(-1)
	n.logger.Debug("session ended", slog.String(logkey.Client, r.client), slog.Int(logkey.Code, int(code)), slog.Any(logkey.Err, cause))
	if last {
		n.stirred.tell()
	}
}

func (n *node) draining() bool { return n.lifecycle.state() >= fleet.Draining }

// memory is the newest reading's memory fraction.
func (n *node) memory() float64 {
	if reading := n.reading.Load(); reading != nil {
		return reading.Memory
	}
	return 0
}
