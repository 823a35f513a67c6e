// Package record is the binary form of what nodes write to a fleet's inbox: messages, session starts and markers.
// The form is versioned and canonical: equal records give equal bytes, and only those bytes decode.
package record

import (
	"github.com/tidegate/tidegate/internal/fleet"
)

// Version is the format that this build writes and reads; it is the first byte of every value.
const Version = 1

// The bounds of what is written and accepted, against hostile or broken writers.
const (
	// MaxName bounds every id and name, in bytes.
	MaxName = 512
	// MaxPayload bounds a message's payload, in bytes.
	MaxPayload = 128 << 10
)

// Kind says what a record is.
type Kind byte

// The kinds of record.
const (
	// KindMessage is a message for one client; its Kafka key is the recipient.
	KindMessage Kind = 1
	// KindSession says that a client started a session; its Kafka key is the client.
	KindSession Kind = 2
	// KindMarker is written by a node that warms a shard up; its Kafka key is empty.
	KindMarker Kind = 3
)

// Message is one message. Its time is the broker's, kept by Kafka beside the value.
type Message struct {
	From string
	// ID is the sender's; the same From and ID again is the same message.
	ID string
	To string
	// Payload is any JSON value.
	Payload []byte
}

// Session says that a client's newest session runs at a node. The last one in the log wins.
type Session struct {
	Client  string
	Session string
	Epoch   uint64
	Node    fleet.NodeID
}

// Marker shows a warming node the end of the log as it was when the node began to read.
type Marker struct {
	Node  fleet.NodeID
	Nonce string
}

// Record is one decoded value: Kind says which of the others is set.
type Record struct {
	Kind    Kind
	Message Message
	Session Session
	Marker  Marker
}
