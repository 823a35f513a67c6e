// Package protocol is the language between a client and a socket node: JSON text frames under the WebSocket subprotocol
// "tidegate.v1". It encodes and decodes frames and knows their bounds; what a frame means is the session's business.
//
// Decoding is strict: bounded size, depth and field count, exact field names, no duplicate fields, no trailing data, plain
// integers, valid UTF-8. Fields that a frame does not know are ignored, so that a newer client can talk to an older node.
package protocol

// Subprotocol is the WebSocket subprotocol that a client must offer and a node selects.
const Subprotocol = "tidegate.v1"

// ConnectPath is where a socket node takes WebSocket handshakes.
const ConnectPath = "/ws/connect"

// Query parameters of a connect (and, where they fit, of a resolve) request.
const (
	// ParamToken carries the client's JWT when it cannot set a header. It is kept out of every log.
	ParamToken = "token"
	// ParamResume carries the resume token of the last welcome. It is kept out of every log.
	ParamResume = "resume"
	// ParamOffset carries the last offset the client has handled, as the frames wrote it.
	ParamOffset = "offset"
	// ParamTable carries the table version that the client's resolve answer came from.
	ParamTable = "table"
	// ParamClient names the client openly; only a node in dev mode believes it.
	ParamClient = "clientId"
)

// Bounds of the protocol.
const (
	// MaxFrameBytes is the longest frame, and the longest whole message, that a client may send, in bytes.
	MaxFrameBytes = 64 << 10
	// MaxServerFrameBytes is the longest frame a node sends: a payload of the longest client frame in its envelope.
	MaxServerFrameBytes = MaxFrameBytes + 8<<10
	// MaxIDBytes is the longest message id, in bytes of UTF-8.
	MaxIDBytes = 128
	// MaxClientBytes is the longest client id, in bytes of UTF-8.
	MaxClientBytes = 256
	// MaxTokenBytes is the longest JWT or resume token, in bytes.
	MaxTokenBytes = 8 << 10
	// MaxDepth is how deep arrays and objects may nest in a frame, the frame itself counted.
	MaxDepth = 64
	// maxFields is how many fields a frame may have; known frames need at most six.
	maxFields = 32
	// maxTextBytes bounds texts that only nodes write: reasons, messages and addresses.
	maxTextBytes = 4 << 10
)

// Close codes that a node uses, with what the client does then.
const (
	// CloseProtocol ends a connection that broke the WebSocket or the client protocol: the client is wrong.
	CloseProtocol uint16 = 1002
	// CloseUnsupported ends a connection that sent a binary message: this is a text protocol.
	CloseUnsupported uint16 = 1003
	// CloseBadUTF8 ends a connection that sent text which is not UTF-8.
	CloseBadUTF8 uint16 = 1007
	// ClosePolicy ends a connection that is not allowed to go on: do not come back without a change.
	ClosePolicy uint16 = 1008
	// CloseTooBig ends a connection whose message is over MaxFrameBytes.
	CloseTooBig uint16 = 1009
	// CloseMoved ends a connection on drain and move: resolve and resume elsewhere.
	CloseMoved uint16 = 1012
	// CloseOverload ends a connection the node cannot keep up with: come back after the given time.
	CloseOverload uint16 = 1013
	// CloseReplaced ends a connection whose client has connected anew: the older must not reconnect.
	CloseReplaced uint16 = 4001
	// CloseExpired ends a connection whose token ran out: come back with a new one.
	CloseExpired uint16 = 4003
)

// Codes of error frames.
const (
	// CodeNoSession says that the recipient has no session inside the resume window.
	CodeNoSession = "no_session"
	// CodeUnavailable says that the node cannot know or cannot do it now; retry after the given time.
	CodeUnavailable = "unavailable"
	// CodeOverloaded says that the recipient's shard is too busy; retry after the given time.
	CodeOverloaded = "overloaded"
	// CodeBadFrame says that the frame was refused, and its message says which field and how to write it.
	CodeBadFrame = "bad_frame"
	// CodeTooBig says that the frame is over MaxFrameBytes.
	CodeTooBig = "too_big"
	// CodeRateLimited says that the client sends more messages than it may.
	CodeRateLimited = "rate_limited"
	// CodeNotAccepted says that the message was not written to the log; send it again, in order.
	CodeNotAccepted = "not_accepted"
)

// The types of frames, as their "type" field says them.
const (
	typeWelcome  = "welcome"
	typeMessage  = "message"
	typeAccepted = "accepted"
	typeMoved    = "moved"
	typeDrain    = "drain"
	typeError    = "error"
	typePong     = "pong"
	typeAck      = "ack"
	typeRefresh  = "refresh"
	typePing     = "ping"
)
