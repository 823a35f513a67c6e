//go:build e2e

package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/internal/protocol"
)

// tap reads along on one connection. Reads come from one goroutine, Close from any.
type tap struct {
	net.Conn
	book   *taps
	closed atomic.Bool
	once   sync.Once
	// requested says that the handshake was written, asked that it named an offset.
	requested, asked atomic.Bool

	// What comes is parsed as it comes: first the handshake's answer, then frames.
	state   int
	pending []byte
	payload []byte
	opcode  byte
	left    uint64
	end     ending
}

// The states of a tap.
const (
	handshake = iota
	frames
	content
	deaf
)

// keptBytes of a payload are kept: close frames are short, and a frame's type comes first.
const keptBytes = 2048

// Write passes on what the client says. Its first words are the handshake.
func (t *tap) Write(p []byte) (int, error) {
	if t.requested.CompareAndSwap(false, true) {
		line, _, _ := bytes.Cut(p, []byte("\r\n"))
		t.asked.Store(bytes.Contains(line, []byte(protocol.ParamOffset+"=")))
	}
	return t.Conn.Write(p)
}

// Read passes on what the server sends.
func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.hear(p[:n])
	if err != nil {
		t.over(t.closed.Load())
	}
	return n, err
}

// Close is the client's.
func (t *tap) Close() error {
	t.closed.Store(true)
	err := t.Conn.Close()
	t.over(true)
	return err
}

// over keeps the ending, once, and only of connections that became WebSockets.
func (t *tap) over(left bool) {
	t.once.Do(func() {
		t.book.mu.Lock()
		defer t.book.mu.Unlock()
		if _, ok := t.book.open[t]; !ok {
			return
		}
		delete(t.book.open, t)
		t.end.left, t.end.at = left, time.Now()
		t.book.ends = append(t.book.ends, t.end)
	})
}

func (t *tap) hear(data []byte) {
	for len(data) > 0 && t.state != deaf {
		switch t.state {
		case handshake:
			data = t.answer(data)
		case frames:
			data = t.header(data)
		case content:
			data = t.body(data)
		}
	}
}

// answer reads the handshake's answer to its end.
func (t *tap) answer(data []byte) []byte {
	t.pending = append(t.pending, data...)
	end := bytes.Index(t.pending, []byte("\r\n\r\n"))
	if end < 0 {
		return nil
	}
	rest := bytes.Clone(t.pending[end+4:])
	if !bytes.HasPrefix(t.pending, []byte("HTTP/1.1 101")) {
		t.state, t.pending = deaf, nil
		return nil
	}
	t.state, t.pending = frames, nil
	t.book.mu.Lock()
	t.book.open[t] = struct{}{}
	t.book.mu.Unlock()
	return rest
}

// header reads a frame's header; servers do not mask.
func (t *tap) header(data []byte) []byte {
	before := len(t.pending)
	t.pending = append(t.pending, data...)
	if len(t.pending) < 2 {
		return nil
	}
	size, length := 2, uint64(t.pending[1]&0x7f)
	switch length {
	case 126:
		size = 4
	case 127:
		size = 10
	}
	if len(t.pending) < size {
		return nil
	}
	switch size {
	case 4:
		length = uint64(binary.BigEndian.Uint16(t.pending[2:]))
	case 10:
		length = binary.BigEndian.Uint64(t.pending[2:])
	}
	t.opcode, t.left, t.payload = t.pending[0]&0x0f, length, nil
	t.pending, t.state = nil, content
	if length == 0 {
		t.frame()
	}
	return data[size-before:]
}

// body reads a frame's content.
func (t *tap) body(data []byte) []byte {
	n := min(uint64(len(data)), t.left)
	if room := keptBytes - len(t.payload); room > 0 {
		t.payload = append(t.payload, data[:min(n, uint64(room))]...)
	}
	if t.left -= n; t.left == 0 {
		t.frame()
	}
	return data[n:]
}

// frame judges a frame that is complete.
func (t *tap) frame() {
	const closing, text = 8, 1
	t.state = frames
	t.book.mu.Lock()
	defer t.book.mu.Unlock()
	switch t.opcode {
	case closing:
		t.end.code = 1005
		if len(t.payload) >= 2 {
			t.end.code, t.end.reason = binary.BigEndian.Uint16(t.payload), string(t.payload[2:])
		}
	case text:
		switch {
		case bytes.HasPrefix(t.payload, []byte(`{"type":"welcome"`)):
			t.welcome()
		case t.end.told:
		case bytes.HasPrefix(t.payload, []byte(`{"type":"drain"`)), bytes.HasPrefix(t.payload, []byte(`{"type":"moved"`)):
			t.end.told, t.end.toldAt = true, time.Now()
		}
	}
}

// welcome keeps whose session begins here; the caller holds the lock.
func (t *tap) welcome() {
	var w struct {
		Client  string `json:"clientId"`
		Node    string `json:"nodeId"`
		Resumed bool   `json:"resumed"`
	}
	if err := json.Unmarshal(t.payload, &w); err != nil {
		return // the client will say more about it
	}
	t.end.arrival = arrival{client: w.Client, node: w.Node, asked: t.asked.Load(), resumed: w.Resumed, at: time.Now()}
	t.book.welcomes = append(t.book.welcomes, t.end.arrival)
}
