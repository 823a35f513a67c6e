package protocol

import "encoding/json"

// ClientFrame is a frame that a client sends: Send, Ack, Refresh or Ping.
type ClientFrame interface {
	// Append writes the frame as JSON to the end of dst and returns it, as append does.
	Append(dst []byte) []byte
	clientFrame()
}

// Send is a client's "message" frame: bring the payload to another client.
type Send struct {
	// ID is the sender's name for the message; the same id again is the same message.
	ID string
	// To is the recipient's client id.
	To string
	// Payload is any JSON value. DecodeClient copies it: it outlives the bytes it was read from.
	Payload json.RawMessage
}

// Ack says that the client has handled everything up to and with Offset.
type Ack struct{ Offset Offset }

// Refresh brings a new JWT before the old one runs out.
type Refresh struct{ Token string }

// Ping asks for a pong with the inbox's offset.
type Ping struct{}

// Append writes the frame to dst. An empty payload is written as null.
func (f Send) Append(dst []byte) []byte {
	dst = open(dst, typeMessage)
	dst = appendText(dst, "id", f.ID)
	dst = appendText(dst, "to", f.To)
	dst = appendPayload(dst, f.Payload)
	return append(dst, '}')
}

// Append writes the frame to dst.
func (f Ack) Append(dst []byte) []byte {
	return append(appendOffset(open(dst, typeAck), f.Offset), '}')
}

// Append writes the frame to dst.
func (f Refresh) Append(dst []byte) []byte {
	return append(appendText(open(dst, typeRefresh), "token", f.Token), '}')
}

// Append writes the frame to dst.
func (f Ping) Append(dst []byte) []byte { return append(open(dst, typePing), '}') }

func (Send) clientFrame()    {}
func (Ack) clientFrame()     {}
func (Refresh) clientFrame() {}
func (Ping) clientFrame()    {}
