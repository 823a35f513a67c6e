package engine

import (
	"encoding/binary"

	"github.com/gobwas/ws"

	"github.com/tidegate/tidegate/internal/protocol"
)

const (
	// maxHeader is the longest header of a client's frame: 2 bytes, 8 of length, 4 of mask.
	maxHeader = 14
	// maxControl is the longest payload of a control frame.
	maxControl = 125

	finBit     = 0x80
	rsvBits    = 0x70
	opcodeBits = 0x0f
	maskBit    = 0x80
	lengthBits = 0x7f
	length16   = 126
	length64   = 127
)

// fault is why a connection must end, with the code that its close frame gets.
type fault struct {
	code uint16
	why  string
}

// Error says what the client did wrong.
func (f *fault) Error() string { return f.why }

// header is what a frame says about itself.
type header struct {
	fin    bool
	opcode ws.OpCode
	length uint64
	mask   [4]byte
}

// headerSize is how long a header is, by its second byte. Every client frame has a mask.
func headerSize(second byte) int {
	switch second & lengthBits {
	case length16:
		return 2 + 2 + 4
	case length64:
		return 2 + 8 + 4
	default:
		return 2 + 4
	}
}

// checkStart judges the first two bytes of a frame, before more of it has come. open says that a message is unfinished.
func checkStart(first, second byte, open bool) *fault {
	opcode := ws.OpCode(first & opcodeBits)
	switch {
	case first&rsvBits != 0:
		return &fault{protocol.CloseProtocol, "reserved bits are set, but no extension was agreed"}
	case opcode.IsReserved():
		return &fault{protocol.CloseProtocol, "the opcode is reserved"}
	case second&maskBit == 0:
		return &fault{protocol.CloseProtocol, "the frame is not masked: clients must mask"}
	case opcode.IsControl() && first&finBit == 0:
		return &fault{protocol.CloseProtocol, "a control frame is fragmented"}
	case opcode.IsControl() && second&lengthBits > maxControl:
		return &fault{protocol.CloseProtocol, "a control frame is longer than 125 bytes"}
	case opcode == ws.OpContinuation && !open:
		return &fault{protocol.CloseProtocol, "a continuation has nothing to continue"}
	case opcode.IsData() && opcode != ws.OpContinuation && open:
		return &fault{protocol.CloseProtocol, "a new message begins inside an unfinished one"}
	case opcode == ws.OpBinary:
		return &fault{protocol.CloseUnsupported, "binary messages are not taken: send text"}
	}
	return nil
}

// parseHeader reads a whole header that checkStart has passed.
func parseHeader(raw []byte) (header, *fault) {
	h := header{fin: raw[0]&finBit != 0, opcode: ws.OpCode(raw[0] & opcodeBits)}
	shortest := uint64(0)
	switch short := raw[1] & lengthBits; short {
	case length16:
		h.length, shortest = uint64(binary.BigEndian.Uint16(raw[2:])), length16
	case length64:
		h.length, shortest = binary.BigEndian.Uint64(raw[2:]), 1<<16
	default:
		h.length = uint64(short)
	}
	if h.length < shortest {
		return h, &fault{protocol.CloseProtocol, "the length is not written in the shortest form"}
	}
	copy(h.mask[:], raw[len(raw)-4:])
	return h, nil
}

// appendFrame writes a server's frame: whole, and not masked.
func appendFrame(dst []byte, opcode ws.OpCode, payload []byte) []byte {
	dst = append(dst, finBit|byte(opcode))
	switch size := len(payload); {
	case size < length16:
		dst = append(dst, byte(size))
	case size < 1<<16:
		dst = append(dst, length16)
		dst = binary.BigEndian.AppendUint16(dst, uint16(size))
	default:
		dst = append(dst, length64)
		dst = binary.BigEndian.AppendUint64(dst, uint64(size))
	}
	return append(dst, payload...)
}
