// Package outbox writes to a fleet's inbox, in the order that each sender sent.
//
// At most one message of a (sender, shard) pair is with the producer at any time; later ones wait behind it. When it
// fails, everything that waits behind it fails too, in order, so nothing later than a failed message has been
// produced. The sender may have more on the way that it sent before it heard of the failure: the pair therefore takes
// nothing until the failed message comes again.
package outbox

import (
	"errors"
	"time"

	"github.com/tidegate/tidegate/internal/shard"
)

// Why a message was not accepted. The sender may send it again; the same id again is safe.
var (
	// ErrFull says that too much waits already.
	ErrFull = errors.New("the outbox is full: send again later")
	// ErrHeld says that an earlier message of this sender was not accepted: send that one first.
	ErrHeld = errors.New("an earlier message was not accepted: send that one first")
	// ErrDeadline says that Kafka did not confirm in time. The message may still arrive.
	ErrDeadline = errors.New("kafka did not confirm in time: send again")
	// ErrClosed says that the node is going away.
	ErrClosed = errors.New("the outbox is closed: send to another node")
)

// Message is one record to write.
type Message struct {
	// Sender and ID name the message. With both set the message keeps its place among the sender's; with either
	// empty it has no order and waits for nobody.
	//
	// Sender should name one connection, not only the client behind it. The outbox concludes from the order in which
	// a sender sends again; two connections of one client have an order each, but none between them. A client that
	// comes back sends what was not accepted again on its new connection, in order, so it loses nothing by the change.
	Sender string
	ID     string
	Shard  shard.ID
	Key    string
	// Value must not change until the message is done.
	Value []byte
}

func (m *Message) ordered() bool { return m.Sender != "" && m.ID != "" }

// overhead is roughly what the outbox itself spends on a message, in bytes.
const overhead = 256

func (m *Message) size() int { return overhead + len(m.Key) + len(m.Value) }

// Receipt is where the log holds a message.
type Receipt struct {
	Offset int64
	// At is the broker's time.
	At time.Time
}

// outcome is a call of done that is still to be made.
type outcome struct {
	done    func(Receipt, error)
	receipt Receipt
	err     error
}

// entry is one message on its way.
type entry struct {
	message  Message
	done     func(Receipt, error)
	deadline time.Time
	pair     *pair
	// flying says that the producer has the message; it then stays in its pair until the producer answers.
	flying bool
	// told says that done has its outcome.
	told bool
}

// tell makes the entry's outcome, once.
func (e *entry) tell(outcomes []outcome, receipt Receipt, err error) []outcome {
	if e.told {
		return outcomes
	}
	e.told = true
	return append(outcomes, outcome{done: e.done, receipt: receipt, err: err})
}
