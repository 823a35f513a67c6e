package engine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/socket/engine"
)

// oracle says what a server must make of a client's bytes: the messages in them, and the code it must end with: 0 when it must
// wait for more, 1005 for a close frame without a code. answers says that there is a ping to answer. It is written for clarity alone: it sees all bytes at once.
func oracle(data []byte) (messages []string, code int, answers bool) {
	var message []byte
	open, fragments, claimed := false, 0, uint64(0)
	for len(data) >= 2 {
		first, second := data[0], data[1]
		opcode, isFin := first&15, first&fin != 0
		control := opcode >= 8
		switch {
		case first&0x70 != 0, opcode > 2 && opcode < 8, opcode > 10, second&0x80 == 0, control && (!isFin || second&127 > 125):
			return messages, 1002, answers
		case opcode == cont && !open, (opcode == text || opcode == bin) && open:
			return messages, 1002, answers
		case opcode == bin:
			return messages, 1003, answers
		}
		size, at, shortest := uint64(second&127), 2, uint64(0)
		switch {
		case size == 126 && len(data) >= 8:
			size, at, shortest = uint64(binary.BigEndian.Uint16(data[2:])), 4, 126
		case size == 127 && len(data) >= 14:
			size, at, shortest = binary.BigEndian.Uint64(data[2:]), 10, 1<<16
		case size >= 126 || len(data) < 6:
			return messages, 0, answers
		}
		if size < shortest {
			return messages, 1002, answers
		}
		mask, rest := data[at:at+4], data[at+4:]
		if !control {
			if !open {
				message, fragments, claimed = nil, 0, 0
			}
			fragments++
			if size > protocol.MaxFrameBytes-claimed || fragments > protocol.MaxFrameBytes {
				return messages, 1009, answers
			}
			claimed += size
		}
		came := min(size, uint64(len(rest)))
		payload := make([]byte, came)
		for i := range payload {
			payload[i] = rest[i] ^ mask[i%4]
		}
		if !control {
			message = append(message, payload...)
			if hopeless(message) {
				return messages, 1007, answers
			}
		}
		if came < size {
			return messages, 0, answers
		}
		data = rest[size:]
		switch {
		case opcode == shut:
			return messages, closeOracle(payload), answers
		case control:
			answers = answers || opcode == ping
		case isFin && !utf8.Valid(message):
			return messages, 1007, answers
		case isFin:
			messages, open = append(messages, string(message)), false
		default:
			open = true
		}
	}
	return messages, 0, answers
}

func closeOracle(payload []byte) int {
	if len(payload) == 0 {
		return 1005
	}
	if len(payload) == 1 {
		return 1002
	}
	code := int(binary.BigEndian.Uint16(payload))
	if code < 1000 || code >= 1004 && code <= 1006 || code >= 1015 && code < 3000 || code > 4999 {
		return 1002
	}
	if !utf8.Valid(payload[2:]) {
		return 1007
	}
	return code
}

// hopeless reports text that no further byte can make right.
func hopeless(text []byte) bool {
	for len(text) > 0 && utf8.FullRune(text) {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 {
			return true
		}
		text = text[size:]
	}
	return false
}

// scripted turns a fuzzer's bytes into frames that are mostly well-formed, so that it gets past the first one.
func scripted(script []byte) []byte {
	var all []byte
	for len(script) >= 2 {
		n := min(int(script[1]), len(script)-2)
		all = append(all, frame(script[0], string(script[2:2+n]))...)
		script = script[2+n:]
	}
	return all
}

// FuzzFrames sends arbitrary bytes after a handshake, in pieces of any size, and compares what the receiver gets and how the
// connection ends with the oracle. Shutdown proves that no goroutine is left.
func FuzzFrames(f *testing.F) {
	for i, cases := range [][]frameCase{framing(), pings(), reserved(), fragments(), closes()} {
		for _, tt := range cases {
			if len(tt.send) < 500 {
				f.Add(tt.send, false, uint8(i))
			}
		}
	}
	f.Add([]byte("\x01\x02\xe2\x82\x80\x01\xac\x89\x01x\x88\x02\x03\xe8"), true, uint8(3))
	f.Add([]byte("\x81\x05Hello\x01\x00\x80\x00\x81\x03\xed\xa0\x80"), true, uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, script bool, packet uint8) {
		if script {
			data = scripted(data)
		}
		messages, code, answers := oracle(data)
		h, p := newHost(), newPipes()
		h.frame = func(*session, []byte) {}
		e := engine.New(quick(), h, slog.New(slog.DiscardHandler))
		served := make(chan error, 1)
		go func() { served <- e.Serve(p) }()
		saw := talk(t, wrap(p.dial()), data, int(packet)+1, code != 0)
		s := <-h.sessions
		if e := closedWith(t, s); code != 0 && int(e.code) != code || code == 0 && e.code != 1006 {
			t.Errorf("the receiver was told %d, %v; the oracle says %d", e.code, e.cause, code)
		}
		got := s.got()
		if code == 0 && answers && len(got) < len(messages) {
			// The client vanished while it was being answered: what it sent last may go unread, but nothing before.
			messages = messages[:len(got)]
		}
		if diff := cmp.Diff(messages, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("messages (-oracle +engine)\n%s", diff)
		}
		want := map[int]string{0: "", 1005: "close:"}
		if said, ok := want[code]; code != 0 && (!ok && saw != fmt.Sprint("close:", code) || ok && saw != said) {
			t.Errorf("the client saw %q; the oracle says %d", saw, code)
		}
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("goroutines are left: %v", err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// talk shakes hands, sends the bytes in packets and gives the close frame that came back. Without one to come it closes once
// everything is sent.
func talk(t *testing.T, c *raw, data []byte, packet int, ends bool) string {
	t.Helper()
	c.shake(t)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for len(data) > 0 {
			n := min(packet, len(data))
			if _, err := c.Write(data[:n]); err != nil {
				return
			}
			data = data[n:]
		}
		if !ends {
			_ = c.Close()
		}
	}()
	saw := ""
	for event, err := c.event(); err == nil; event, err = c.event() {
		if len(event) >= 6 && event[:6] == "close:" {
			if saw = event; len(event) > 10 {
				saw = event[:10]
			}
			break
		}
	}
	_ = c.Close()
	<-sent
	return saw
}
