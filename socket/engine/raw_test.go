package engine_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/protocol"
)

const goodKey = "dGhlIHNhbXBsZSBub25jZQ=="

// request writes a handshake; each change replaces the header of its name, an empty value leaves it out.
func request(line string, changes ...string) string {
	headers := [][2]string{
		{"Host", "node.example"},
		{"Upgrade", "websocket"},
		{"Connection", "Upgrade"},
		{"Sec-WebSocket-Key", goodKey},
		{"Sec-WebSocket-Version", "13"},
		{"Sec-WebSocket-Protocol", protocol.Subprotocol},
	}
	var b strings.Builder
	b.WriteString(line + "\r\n")
	var extra []string
next:
	for _, change := range changes {
		name, value, _ := strings.Cut(change, ": ")
		for i := range headers {
			if headers[i][0] == name {
				headers[i][1] = value
				continue next
			}
		}
		extra = append(extra, change)
	}
	for _, header := range headers {
		if header[1] != "" {
			b.WriteString(header[0] + ": " + header[1] + "\r\n")
		}
	}
	for _, header := range extra {
		b.WriteString(header + "\r\n")
	}
	return b.String() + "\r\n"
}

const connectLine = "GET " + protocol.ConnectPath + " HTTP/1.1"

// raw is a client that sends whatever bytes it likes.
type raw struct {
	net.Conn
	in *bufio.Reader
}

func dial(tb testing.TB, addr string) *raw {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return wrap(c)
}

func wrap(c net.Conn) *raw { return &raw{Conn: c, in: bufio.NewReader(c)} }

func (c *raw) send(tb testing.TB, data []byte) {
	tb.Helper()
	if _, err := c.Write(data); err != nil {
		tb.Fatal(err)
	}
}

// shake makes a handshake that must be taken.
func (c *raw) shake(tb testing.TB) {
	tb.Helper()
	c.send(tb, []byte(request(connectLine)))
	answer, err := http.ReadResponse(c.in, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		tb.Fatalf("the handshake gave %v, %v", answer, err)
	}
}

func connect(tb testing.TB, addr string) *raw {
	tb.Helper()
	c := dial(tb, addr)
	c.shake(tb)
	return c
}

// event reads a server's frame: "text:…", "ping:…", "pong:…", "close:<code>:<reason>", or "eof".
func (c *raw) event() (string, error) {
	var head [10]byte
	if _, err := io.ReadFull(c.in, head[:2]); err != nil {
		return "eof", err
	}
	if head[0]&0x80 == 0 || head[0]&0x70 != 0 || head[1]&0x80 != 0 {
		return "", fmt.Errorf("the server sent a frame that is fragmented, masked or has reserved bits: %x", head[:2])
	}
	size := uint64(head[1])
	switch size {
	case 126:
		if _, err := io.ReadFull(c.in, head[:2]); err != nil {
			return "", err
		}
		size = uint64(binary.BigEndian.Uint16(head[:]))
	case 127:
		if _, err := io.ReadFull(c.in, head[:8]); err != nil {
			return "", err
		}
		size = binary.BigEndian.Uint64(head[:])
	}
	opcode := head[0]
	if size > 125 { // the first byte was overwritten, but only text is that long
		opcode = 0x81
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(c.in, payload); err != nil {
		return "", err
	}
	switch opcode & 15 {
	case 1:
		return "text:" + string(payload), nil
	case 8:
		if size == 0 {
			return "close:", nil
		}
		return fmt.Sprintf("close:%d:%s", binary.BigEndian.Uint16(payload), payload[2:]), nil
	case 9:
		return "ping:" + string(payload), nil
	case 10:
		return "pong:" + string(payload), nil
	}
	return "", fmt.Errorf("the server sent opcode %d", opcode&15)
}

// events reads until the server's close frame, whose reason is left out, or the end of the connection.
func (c *raw) events(tb testing.TB) []string {
	tb.Helper()
	var all []string
	for {
		event, err := c.event()
		if err != nil && event != "eof" {
			tb.Fatalf("after %q: %v", all, err)
		}
		if event == "eof" && errors.Is(err, io.ErrUnexpectedEOF) {
			tb.Fatalf("after %q the connection broke inside a frame", all)
		}
		if parts := strings.SplitN(event, ":", 3); parts[0] == "close" {
			event = parts[0] + ":" + parts[1]
		}
		all = append(all, event)
		if event == "eof" || strings.HasPrefix(event, "close:") {
			return all
		}
	}
}

var key = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// frame builds a client's frame, masked, with the shortest length.
func frame(first byte, payload string) []byte {
	return append(claim(first, uint64(len(payload))), masked(payload)...)
}

// claim is the header of a frame that says it has so many bytes.
func claim(first byte, size uint64) []byte {
	b := []byte{first}
	switch {
	case size < 126:
		b = append(b, 0x80|byte(size))
	case size < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(size))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), size)
	}
	return append(b, key[:]...)
}

func masked(payload string) []byte {
	b := []byte(payload)
	for i := range b {
		b[i] ^= key[i%4]
	}
	return b
}

func closeFrame(code uint16, reason string) []byte {
	return frame(0x88, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

func join(parts ...[]byte) []byte {
	var all []byte
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}
