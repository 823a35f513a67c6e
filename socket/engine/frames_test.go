package engine_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/internal/protocol"
)

const (
	fin  = 0x80
	cont = 0x0
	text = 0x1
	bin  = 0x2
	shut = 0x8
	ping = 0x9
	pong = 0xa
)

// frameCase is bytes that a client sends, and all that it must get. A case that the server does not end is closed by the client
// with 1000, which the server must answer.
type frameCase struct {
	name string
	send []byte
	want []string
}

func framing() []frameCase {
	var all []frameCase
	for _, size := range []int{0, 1, 125, 126, 127, 128, 65535, protocol.MaxFrameBytes} {
		payload := strings.Repeat("*", size)
		all = append(all, frameCase{fmt.Sprintf("text of %d bytes", size), frame(fin|text, payload), []string{"text:" + payload}})
	}
	for _, size := range []int{0, 1, 125, 126, 127, 65536} {
		all = append(all, frameCase{fmt.Sprintf("binary of %d bytes", size), frame(fin|bin, strings.Repeat("\xfe", size)), []string{"close:1003"}})
	}
	return append(all,
		frameCase{"not masked", []byte("\x81\x05Hello"), []string{"close:1002"}},
		frameCase{"a control frame not masked", []byte("\x89\x00"), []string{"close:1002"}},
		frameCase{"a mask of zeros", []byte("\x81\x85\x00\x00\x00\x00Hello"), []string{"text:Hello"}},
		frameCase{"length 125 written in 16 bits", join([]byte{fin | text, 0x80 | 126, 0, 125}, key[:], masked(strings.Repeat("*", 125))), []string{"close:1002"}},
		frameCase{"length 65535 written in 64 bits", join([]byte{fin | text, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, key[:]), []string{"close:1002"}},
		frameCase{"two messages in one packet", join(frame(fin|text, "a"), frame(fin|text, "b")), []string{"text:a", "text:b"}},
		frameCase{"nothing but the client's close", nil, nil},
	)
}

func pings() []frameCase {
	long := strings.Repeat("\xfe", 125)
	var flood []byte
	var answers []string
	for i := range 10 {
		flood = append(flood, frame(fin|ping, strconv.Itoa(i))...)
		answers = append(answers, fmt.Sprint("pong:", i))
	}
	return []frameCase{
		{"an empty ping", frame(fin|ping, ""), []string{"pong:"}},
		{"a ping with text", frame(fin|ping, "Hello"), []string{"pong:Hello"}},
		{"a ping with bytes that are no text", frame(fin|ping, "\x00\xff\xfe"), []string{"pong:\x00\xff\xfe"}},
		{"a ping of 125 bytes", frame(fin|ping, long), []string{"pong:" + long}},
		{"a ping of 126 bytes", frame(fin|ping, long+"x"), []string{"close:1002"}},
		{"ten pings at once", flood, answers},
		{"a pong that nobody asked for", frame(fin|pong, ""), nil},
		{"a pong that nobody asked for, with text, then a ping", join(frame(fin|pong, "x"), frame(fin|ping, "y")), []string{"pong:y"}},
		{"a pong of 126 bytes", frame(fin|pong, long+"x"), []string{"close:1002"}},
		{"a fragmented ping", frame(ping, "x"), []string{"close:1002"}},
		{"a fragmented pong", frame(pong, "x"), []string{"close:1002"}},
	}
}

func reserved() []frameCase {
	var all []frameCase
	for rsv := 1; rsv <= 7; rsv++ {
		for _, opcode := range []byte{text, ping, shut} {
			all = append(all, frameCase{
				fmt.Sprintf("reserved bits %d on opcode %d, after a good message", rsv, opcode),
				join(frame(fin|text, "good"), frame(fin|byte(rsv)<<4|opcode, "")),
				[]string{"text:good", "close:1002"},
			})
		}
	}
	for _, opcode := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		all = append(all, frameCase{
			fmt.Sprintf("reserved opcode %d, after a good message", opcode),
			join(frame(fin|text, "good"), frame(fin|opcode, "x"), frame(fin|ping, "")),
			[]string{"text:good", "close:1002"},
		})
	}
	return all
}

func fragments() []frameCase {
	return []frameCase{
		{"a message in two", join(frame(text, "Hel"), frame(fin|cont, "lo")), []string{"text:Hello"}},
		{"a message in two with a ping between", join(frame(text, "Hel"), frame(fin|ping, "p"), frame(fin|cont, "lo")), []string{"pong:p", "text:Hello"}},
		{"a message in five with pings between", join(frame(text, "1"), frame(fin|ping, "a"), frame(cont, "2"), frame(cont, "3"), frame(fin|ping, "b"), frame(cont, "4"), frame(fin|cont, "5")), []string{"pong:a", "pong:b", "text:12345"}},
		{"empty fragments only", join(frame(text, ""), frame(cont, ""), frame(fin|cont, "")), []string{"text:"}},
		{"an empty first and last fragment", join(frame(text, ""), frame(cont, "x"), frame(fin|cont, "")), []string{"text:x"}},
		{"a pong inside a message", join(frame(text, "a"), frame(fin|pong, "x"), frame(fin|cont, "b")), []string{"text:ab"}},
		{"a close inside a message", join(frame(text, "a"), closeFrame(1001, "")), []string{"close:1001"}},
		{"a continuation of nothing", frame(fin|cont, "x"), []string{"close:1002"}},
		{"an unfinished continuation of nothing", frame(cont, "x"), []string{"close:1002"}},
		{"a continuation after a whole message", join(frame(fin|text, "a"), frame(fin|cont, "b")), []string{"text:a", "close:1002"}},
		{"a continuation after a finished message", join(frame(text, "a"), frame(fin|cont, "b"), frame(fin|cont, "c")), []string{"text:ab", "close:1002"}},
		{"a new message inside one", join(frame(text, "a"), frame(fin|text, "b")), []string{"close:1002"}},
		{"an unfinished new message inside one", join(frame(text, "a"), frame(text, "b")), []string{"close:1002"}},
		{"a binary message inside a text", join(frame(text, "a"), frame(fin|bin, "b")), []string{"close:1002"}},
		{"a fragmented binary message", join(frame(bin, "a"), frame(fin|cont, "b")), []string{"close:1003"}},
		{"a whole message after a fragmented one", join(frame(text, "a"), frame(fin|cont, "b"), frame(fin|text, "c")), []string{"text:ab", "text:c"}},
		{"a message of 1,000 fragments", join(frame(text, ""), []byte(strings.Repeat(string(frame(cont, "x")), 1000)), frame(fin|cont, "")), []string{"text:" + strings.Repeat("x", 1000)}},
	}
}

func utf8Cases() []frameCase {
	good := []string{
		"κόσμε", "Hello-µ@ßöäüàá-UTF-8!!", "\x00", "\u0080", "\u0800", "\U00010000", "\x7f", "\u07ff", "\uffff", "\ufffe", "\U0010ffff", "\ud7ff", "\ue000", "\ufffd", "\U0001fffe",
	}
	bad := []string{
		"\x80", "\xbf", "\x80\xbf", "\xc0", "\xc0 ", "\xe0 ", "\xf0 ", "\xf8 ", "\xfc ", "\xfe", "\xff", "\xfe\xfe\xff\xff", "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf",
		"\xfc\x80\x80\x80\x80\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xc0\x80", "\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbf\xbf",
		"\xed\xa0\x80\xed\xb0\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3", "\xe2\x82", "\xf0\x9f\x98", "κόσμε\xed\xa0\x80edited", "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited",
	}
	var all []frameCase
	for _, s := range good {
		pieces := frame(text, "")
		for i := range len(s) {
			pieces = append(pieces, frame(cont, s[i:i+1])...)
		}
		all = append(all,
			frameCase{fmt.Sprintf("good text %q", s), frame(fin|text, s), []string{"text:" + s}},
			frameCase{fmt.Sprintf("good text %q a byte a fragment", s), append(pieces, frame(fin|cont, "")...), []string{"text:" + s}},
		)
	}
	for _, s := range bad {
		half := len(s) / 2
		all = append(all,
			frameCase{fmt.Sprintf("bad text %q", s), frame(fin|text, "ok "+s), []string{"close:1007"}},
			frameCase{fmt.Sprintf("bad text %q in two fragments", s), join(frame(text, s[:half]), frame(fin|cont, s[half:])), []string{"close:1007"}},
		)
	}
	return append(all,
		frameCase{"bad text is refused before its message is whole", frame(text, "\xf4\x90"), []string{"close:1007"}},
		frameCase{"bad text is refused before its frame is whole", append(claim(fin|text, 1000), masked("\xce\xba\xff")...), []string{"close:1007"}},
		frameCase{"a character cut by a ping", join(frame(text, "\xc3"), frame(fin|ping, "\xff"), frame(fin|cont, "\xa4")), []string{"pong:\xff", "text:ä"}},
		frameCase{"a cut character does not leak into the next message", join(frame(fin|text, "ä"), frame(fin|text, "ö")), []string{"text:ä", "text:ö"}},
	)
}

func closes() []frameCase {
	all := []frameCase{
		{"an empty close", frame(fin|shut, ""), []string{"close:"}},
		{"a close with half a code", frame(fin|shut, "\x03"), []string{"close:1002"}},
		{"a close with the longest reason", closeFrame(1000, strings.Repeat("r", 123)), []string{"close:1000"}},
		{"a close of 126 bytes", closeFrame(1000, strings.Repeat("r", 124)), []string{"close:1002"}},
		{"a close with a reason that is no UTF-8", closeFrame(1000, "\xce\xba\xff"), []string{"close:1007"}},
		{"a fragmented close", frame(shut, "\x03\xe8"), []string{"close:1002"}},
		{"two closes", join(closeFrame(1000, ""), closeFrame(1001, "")), []string{"close:1000"}},
		{"a message after a close", join(closeFrame(1000, ""), frame(fin|text, "late")), []string{"close:1000"}},
		{"a ping after a close", join(closeFrame(1000, ""), frame(fin|ping, "late")), []string{"close:1000"}},
		{"rubbish after a close", join(closeFrame(1000, ""), []byte("\xff\xff\xff\xff")), []string{"close:1000"}},
		{"a message before a close", join(frame(fin|text, "a"), closeFrame(1000, "")), []string{"text:a", "close:1000"}},
	}
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		all = append(all, frameCase{fmt.Sprintf("close code %d", code), closeFrame(code, "bye"), []string{fmt.Sprint("close:", code)}})
	}
	for _, code := range []uint16{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		all = append(all, frameCase{fmt.Sprintf("close code %d, which no client may send", code), closeFrame(code, ""), []string{"close:1002"}})
	}
	return all
}

func limits() []frameCase {
	most := uint64(protocol.MaxFrameBytes)
	half := strings.Repeat("h", protocol.MaxFrameBytes/2)
	all := []frameCase{
		{"a message of exactly the limit in two fragments", join(frame(text, half), frame(fin|cont, half)), []string{"text:" + half + half}},
		{"a message one byte over the limit in three fragments", join(frame(text, half), frame(cont, half), frame(fin|cont, "x")), []string{"close:1009"}},
		{"endless empty fragments", join(frame(text, ""), []byte(strings.Repeat(string(frame(cont, "")), protocol.MaxFrameBytes))), []string{"close:1009"}},
		{"endless fragments of 1 KiB", join(frame(text, ""), []byte(strings.Repeat(string(frame(cont, strings.Repeat("x", 1024))), 65))), []string{"close:1009"}},
	}
	for _, size := range []uint64{most + 1, 1 << 17, 1<<31 - 1, 1 << 31, 1 << 32, 1<<32 + 5, 1<<62 - 1, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
		all = append(all,
			frameCase{fmt.Sprintf("a header that claims %d bytes", size), claim(fin|text, size), []string{"close:1009"}},
			frameCase{fmt.Sprintf("a continuation that claims %d bytes", size), join(frame(text, "a"), claim(fin|cont, size)), []string{"close:1009"}},
		)
	}
	return all
}

func TestEveryFrameGetsExactlyTheAnswerOfTheRFC(t *testing.T) {
	for class, cases := range map[string][]frameCase{
		"framing": framing(), "pings": pings(), "reserved": reserved(), "fragments": fragments(), "utf8": utf8Cases(), "closes": closes(), "limits": limits(),
	} {
		t.Run(class, func(t *testing.T) {
			r := start(t, quick(), newHost())
			healthy := neighbour(t, r.addr)
			<-r.sessions
			for _, tt := range cases {
				t.Run(tt.name, func(t *testing.T) {
					t.Run("at once", func(t *testing.T) { playFrames(t, r, tt, len(tt.send)+1) })
					if len(tt.send) < 600 {
						t.Run("a byte a packet", func(t *testing.T) { playFrames(t, r, tt, 1) })
					}
					healthy(t)
				})
			}
		})
	}
}

// playFrames sends a case in packets of a size and checks all that comes back.
func playFrames(t *testing.T, r *rig, tt frameCase, packet int) {
	t.Helper()
	c := connect(t, r.addr)
	defer func() { _ = c.Close() }()
	s := <-r.sessions
	want := append([]string(nil), tt.want...)
	all := tt.send
	if len(want) == 0 || !strings.HasPrefix(want[len(want)-1], "close:") {
		all = join(all, closeFrame(1000, ""))
		want = append(want, "close:1000")
	}
	go func() { // the server may end the connection before it has all: then the rest cannot be written
		for len(all) > 0 {
			n := min(packet, len(all))
			if _, err := c.Write(all[:n]); err != nil {
				return
			}
			all = all[n:]
		}
	}()
	if diff := cmp.Diff(want, c.events(t)); diff != "" {
		t.Errorf("(-want +got)\n%.2000s", diff)
	}
	_ = c.Close()
	e := closedWith(t, s)
	if last := want[len(want)-1]; last != "close:" && last != fmt.Sprint("close:", e.code) {
		t.Errorf("the receiver was told code %d, the client %s", e.code, last)
	}
	if bad := e.code == 1002 || e.code == 1003 || e.code == 1007 || e.code == 1009; bad && e.cause == nil && !strings.HasPrefix(tt.name, "close code") {
		t.Errorf("the receiver was not told why the connection ended with %d", e.code)
	}
}
