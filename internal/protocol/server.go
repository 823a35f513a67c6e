package protocol

import (
	"encoding/json"
	"strconv"
	"time"
)

// ServerFrame is a frame that a node sends: Welcome, Message, Accepted, Moved, Drain, Error or Pong.
type ServerFrame interface {
	// Append writes the frame as JSON to the end of dst and returns it, as append does.
	Append(dst []byte) []byte
	serverFrame()
}

// Welcome is a node's first frame: the session stands.
type Welcome struct {
	// ClientID and NodeID say who is connected to whom.
	ClientID, NodeID string
	// Epoch grows with each connection of the client.
	Epoch uint64
	// Resumed is false when messages may be missing since the client's offset, or when there was none.
	Resumed bool
	// ResumeToken is what the client shows when it comes back.
	ResumeToken string
}

// Message brings a message from another client or a service.
type Message struct {
	// ID is the sender's id of the message; From and ID together name it.
	ID, From string
	// Offset is what the client acks.
	Offset Offset
	// Payload is the sender's JSON value, as it was sent.
	Payload json.RawMessage
	// TS is when the message entered the log, by the broker's clock, to the millisecond.
	TS time.Time
}

// Accepted tells a sender that its message is in the log: it will not be lost.
type Accepted struct{ ID string }

// Moved tells a client that its session lives on another node.
type Moved struct{ URL string }

// Drain asks a client to move: connect at URL first, this connection closes afterwards.
type Drain struct {
	// Deadline is when the node closes whatever is left, to the millisecond.
	Deadline time.Time
	// Reason is for people: a word or two.
	Reason string
	// RetryAfter is how long to wait before connecting, in whole milliseconds; zero is at once.
	RetryAfter time.Duration
	// URL is where to connect; empty means resolve.
	URL string
}

// Error tells a client what was refused.
type Error struct {
	// Code is one of the Code constants.
	Code string
	// Message is for people: what is wrong and what to do.
	Message string
	// ID is the message it is about; empty when it is about none.
	ID string
	// RetryAfter is when to try again, in whole milliseconds; zero says nothing about it.
	RetryAfter time.Duration
}

// Pong answers a ping with how far the client's inbox is delivered, so that an idle client moves forward.
type Pong struct{ Offset Offset }

// Append writes the frame to dst.
func (f Welcome) Append(dst []byte) []byte {
	dst = open(dst, typeWelcome)
	dst = appendText(dst, "clientId", f.ClientID)
	dst = appendText(dst, "nodeId", f.NodeID)
	dst = strconv.AppendUint(appendKey(dst, "epoch"), f.Epoch, 10)
	dst = strconv.AppendBool(appendKey(dst, "resumed"), f.Resumed)
	dst = appendText(dst, "resumeToken", f.ResumeToken)
	return append(dst, '}')
}

// Append writes the frame to dst. An empty payload is written as null.
func (f Message) Append(dst []byte) []byte {
	dst = open(dst, typeMessage)
	dst = appendText(dst, "id", f.ID)
	dst = appendText(dst, "from", f.From)
	dst = appendOffset(dst, f.Offset)
	dst = appendPayload(dst, f.Payload)
	dst = appendTime(dst, "ts", f.TS)
	return append(dst, '}')
}

// Append writes the frame to dst.
func (f Accepted) Append(dst []byte) []byte {
	return append(appendText(open(dst, typeAccepted), "id", f.ID), '}')
}

// Append writes the frame to dst.
func (f Moved) Append(dst []byte) []byte {
	return append(appendText(open(dst, typeMoved), "url", f.URL), '}')
}

// Append writes the frame to dst.
func (f Drain) Append(dst []byte) []byte {
	dst = open(dst, typeDrain)
	dst = appendTime(dst, "deadline", f.Deadline)
	dst = appendText(dst, "reason", f.Reason)
	dst = appendMillis(dst, "retryAfterMs", f.RetryAfter)
	dst = appendSome(dst, "url", f.URL)
	return append(dst, '}')
}

// Append writes the frame to dst.
func (f Error) Append(dst []byte) []byte {
	dst = open(dst, typeError)
	dst = appendText(dst, "code", f.Code)
	dst = appendText(dst, "message", f.Message)
	dst = appendSome(dst, "id", f.ID)
	dst = appendMillis(dst, "retryAfterMs", f.RetryAfter)
	return append(dst, '}')
}

// Append writes the frame to dst.
func (f Pong) Append(dst []byte) []byte {
	return append(appendOffset(open(dst, typePong), f.Offset), '}')
}

func appendPayload(dst []byte, payload json.RawMessage) []byte {
	dst = appendKey(dst, "payload")
	if len(payload) == 0 {
		return append(dst, "null"...)
	}
	return append(dst, payload...)
}

func (Welcome) serverFrame()  {}
func (Message) serverFrame()  {}
func (Accepted) serverFrame() {}
func (Moved) serverFrame()    {}
func (Drain) serverFrame()    {}
func (Error) serverFrame()    {}
func (Pong) serverFrame()     {}
