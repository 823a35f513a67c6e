package record

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tidegate/tidegate/internal/fleet"
)

// Decode reads one value. The names are copied out of it; Message.Payload is a part of it, so that a caller who
// keeps the payload decides what memory it pins. An error says where the value is not what Append writes.
func Decode(value []byte) (Record, error) {
	if len(value) < 2 {
		return Record{}, fmt.Errorf("record has %d bytes: want a version and a kind", len(value))
	}
	if value[0] != Version {
		return Record{}, fmt.Errorf("record version %d is unknown: this build reads %d", value[0], Version)
	}
	body := value[2:]
	switch kind := Kind(value[1]); kind {
	case KindMessage:
		return decodeMessage(body)
	case KindSession:
		return decodeSession(body)
	case KindMarker:
		return decodeMarker(body)
	default:
		return Record{}, fmt.Errorf("record kind %d is unknown: want message, session or marker", kind)
	}
}

func decodeMessage(body []byte) (Record, error) {
	var names [3]string
	payload, err := readNames(body, "message", names[:])
	if err != nil {
		return Record{}, err
	}
	if len(payload) > MaxPayload {
		return Record{}, fmt.Errorf("message payload has %d bytes: at most %d are allowed", len(payload), MaxPayload)
	}
	return Record{Kind: KindMessage, Message: Message{From: names[0], ID: names[1], To: names[2], Payload: payload}}, nil
}

func decodeSession(body []byte) (Record, error) {
	var names [3]string
	rest, err := readNames(body, "session", names[:])
	if err != nil {
		return Record{}, err
	}
	epoch, size, err := readUvarint(rest)
	if err != nil {
		return Record{}, fmt.Errorf("session epoch: %w", err)
	}
	if size != len(rest) {
		return Record{}, fmt.Errorf("session has %d bytes after its epoch", len(rest)-size)
	}
	session := Session{Client: names[0], Session: names[1], Node: fleet.NodeID(names[2]), Epoch: epoch}
	return Record{Kind: KindSession, Session: session}, nil
}

func decodeMarker(body []byte) (Record, error) {
	var names [2]string
	rest, err := readNames(body, "marker", names[:])
	if err != nil {
		return Record{}, err
	}
	if len(rest) != 0 {
		return Record{}, fmt.Errorf("marker has %d bytes after its nonce", len(rest))
	}
	return Record{Kind: KindMarker, Marker: Marker{Node: fleet.NodeID(names[0]), Nonce: names[1]}}, nil
}

// readNames reads len(names) texts and returns what follows them. All names share one allocation.
func readNames(body []byte, kind string, names []string) ([]byte, error) {
	var ends, starts [3]int
	at := 0
	for i := range names {
		length, size, err := readUvarint(body[at:])
		if err != nil {
			return nil, fmt.Errorf("%s name %d: %w", kind, i, err)
		}
		if length == 0 || length > MaxName {
			return nil, fmt.Errorf("%s name %d has %d bytes: want 1 to %d", kind, i, length, MaxName)
		}
		at += size
		if uint64(len(body)-at) < length {
			return nil, fmt.Errorf("%s name %d has %d bytes: only %d follow", kind, i, length, len(body)-at)
		}
		starts[i], ends[i] = at, at+int(length)
		at = ends[i]
	}
	shared := string(body[:at])
	for i := range names {
		names[i] = shared[starts[i]:ends[i]]
	}
	return body[at:], nil
}

// readUvarint refuses the longer forms of a number, so that every record has one form only.
func readUvarint(body []byte) (value uint64, size int, err error) {
	value, size = binary.Uvarint(body)
	if size <= 0 {
		return 0, 0, errors.New("its number is cut short or too large")
	}
	if size > 1 && body[size-1] == 0 {
		return 0, 0, errors.New("its number is written longer than it needs to be")
	}
	return value, size, nil
}
