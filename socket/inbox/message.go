// Package inbox reads the shards a node serves and hands each client what is meant for it.
//
// The log is the buffer: a shard is warm once the node has read it from the start of the resume window up to a marker
// that it wrote itself. From then on every message is handed out as it is read, and a client that comes back gets what
// it has missed from memory, or, below what memory holds, from the log.
package inbox

import (
	"errors"
	"time"

	"github.com/tidegate/tidegate/internal/record"
	"github.com/tidegate/tidegate/internal/shard"
)

// None is the offset of a client that has received nothing.
const None int64 = -1

// ErrNotReady says that this node does not serve the client's shard, or has not read it up to its marker yet.
var ErrNotReady = errors.New("the client's shard is not ready on this node")

// Message is one message for a client.
type Message struct {
	Offset  int64
	From    string
	ID      string
	Payload []byte
	// At is the broker's time. Fetched is when this node had the message in hand, on its own monotonic clock.
	At, Fetched time.Time
}

// Receiver takes the messages of one subscription, in the order of their offsets, one at a time.
type Receiver interface {
	// Deliver must not block. It may call Detach.
	Deliver(m Message)
}

// Pacer is a Receiver that says how much it can take. Only a resume that catches up asks, so that a long backlog
// does not overflow the receiver's queue; a live message is delivered in any case.
type Pacer interface {
	// Room is how many messages the receiver takes now.
	Room() int
}

// Events hears what happens to shards. Its methods are called under no lock and must not block for long: the shard
// waits for them.
type Events interface {
	// SessionStarted reports the session records of a shard in the order of the log. Of those read during warm-up,
	// only the last of each client is reported.
	SessionStarted(id shard.ID, s record.Session, offset int64)
	// ReadyChanged says that Ready answers differently for some shard.
	ReadyChanged()
	// ShardStopped says that subscriptions ended without Detach: the node serves the shard no more, or its log lost
	// messages. The clients must come again, here or elsewhere.
	ShardStopped(id shard.ID, ended []*Subscription)
}

// Start says where a subscription begins.
type Start struct {
	// Resumed is true when the client misses nothing between its offset and the first message.
	Resumed bool
	// From is the offset above which messages are delivered.
	From int64
}
