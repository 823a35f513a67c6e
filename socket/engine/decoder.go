package engine

import (
	"github.com/gobwas/ws"

	"github.com/tidegate/tidegate/internal/protocol"
)

// sink gets what a decoder finds. The slices are valid only during the call.
type sink interface {
	text(data []byte)
	ping(payload []byte)
	closing(code uint16)
}

// decoder turns a client's bytes, in whatever pieces they come, into messages. It does no I/O.
type decoder struct {
	max  int // bytes of a whole message
	pool *buffers

	raw    [maxHeader]byte // the header that is being collected
	rawLen int
	head   header
	inside bool // between a frame's header and its end
	pos    int  // payload bytes of this frame that have come

	control [maxControl]byte // the payload of a control frame

	open      bool    // a message is unfinished: data frames so far had no FIN
	size      int     // bytes of the message, the current frame's claim included
	fragments int     // frames of the message
	message   *[]byte // what has come of the message; nil while nothing had to be kept
	direct    []byte  // a whole message that lies in one piece: it need not be kept
	runes     runes

	unit  uint64 // counts messages and the control frames between them, from their first byte on
	ended bool   // a close frame has come: nothing after it counts
}

// feed takes the next bytes, which it changes, and tells to what is complete. After a fault or a close frame it must not be
// called again.
func (d *decoder) feed(data []byte, to sink) *fault {
	for !d.ended {
		if !d.inside {
			if len(data) == 0 {
				return nil
			}
			rest, err := d.header(data)
			if err != nil || !d.inside {
				return err
			}
			data = rest
		}
		n := min(len(data), int(d.head.length)-d.pos)
		piece := data[:n]
		data = data[n:]
		ws.Cipher(piece, d.head.mask, d.pos)
		if err := d.payload(piece); err != nil {
			return err
		}
		if d.pos += n; d.pos < int(d.head.length) {
			return nil
		}
		d.inside = false
		if err := d.end(to); err != nil {
			return err
		}
	}
	return nil
}

// partial reports whether something is unfinished: a header, a frame or a message.
func (d *decoder) partial() bool { return d.rawLen > 0 || d.inside || d.open }

// missing is how many bytes of the current frame have not come yet.
func (d *decoder) missing() int {
	if !d.inside {
		return 0
	}
	return int(d.head.length) - d.pos
}

// release gives the message's memory back.
func (d *decoder) release() {
	if d.message != nil {
		d.pool.put(d.message)
		d.message = nil
	}
	d.direct = nil
}

// header collects a header and gives what follows it.
func (d *decoder) header(data []byte) ([]byte, *fault) {
	for d.rawLen < 2 {
		if len(data) == 0 {
			return nil, nil
		}
		if d.rawLen == 0 && !d.open {
			d.unit++
		}
		d.raw[d.rawLen] = data[0]
		d.rawLen++
		data = data[1:]
		if d.rawLen == 2 {
			if err := checkStart(d.raw[0], d.raw[1], d.open); err != nil {
				return nil, err
			}
		}
	}
	size := headerSize(d.raw[1])
	n := copy(d.raw[d.rawLen:size], data)
	if d.rawLen += n; d.rawLen < size {
		return nil, nil
	}
	head, err := parseHeader(d.raw[:size])
	if err != nil {
		return nil, err
	}
	d.rawLen, d.pos, d.head = 0, 0, head
	return data[n:], d.begin()
}

// begin starts a frame whose header is whole: now its length is checked, before anything is kept for it.
func (d *decoder) begin() *fault {
	d.inside = true
	if d.head.opcode.IsControl() {
		return nil
	}
	if !d.open {
		d.size, d.fragments, d.runes = 0, 0, runes{}
	}
	if d.head.length > uint64(d.max-d.size) {
		return &fault{protocol.CloseTooBig, "the message is too long"}
	}
	if d.fragments++; d.fragments > d.max {
		return &fault{protocol.CloseTooBig, "the message has too many fragments"}
	}
	d.size += int(d.head.length)
	return nil
}

// payload takes a piece of the current frame's payload, unmasked.
func (d *decoder) payload(piece []byte) *fault {
	if d.head.opcode.IsControl() {
		copy(d.control[d.pos:], piece)
		return nil
	}
	if !d.runes.add(piece) {
		return &fault{protocol.CloseBadUTF8, "the text is not UTF-8"}
	}
	if !d.open && d.head.fin && len(piece) == int(d.head.length) {
		d.direct = piece
		return nil
	}
	if len(piece) > 0 {
		if d.message == nil {
			d.message = d.pool.get()
		}
		*d.message = append(*d.message, piece...)
	}
	return nil
}

// end finishes a frame.
func (d *decoder) end(to sink) *fault {
	control := d.control[:min(maxControl, d.pos)]
	switch d.head.opcode {
	case ws.OpPing:
		to.ping(control)
	case ws.OpPong:
	case ws.OpClose:
		code, err := parseClose(control)
		if err != nil {
			return err
		}
		d.ended = true
		to.closing(code)
	default:
		return d.endData(to)
	}
	return nil
}

func (d *decoder) endData(to sink) *fault {
	if d.open = !d.head.fin; d.open {
		return nil
	}
	if !d.runes.whole() {
		return &fault{protocol.CloseBadUTF8, "the text ends inside a character"}
	}
	text := d.direct
	if d.message != nil {
		text = *d.message
	}
	to.text(text)
	d.release()
	return nil
}
