package protocol_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/protocol"
)

func TestIDsOutsideTheBoundsAreRefused(t *testing.T) {
	for name, id := range map[string]string{
		"empty": "", "too long": strings.Repeat("a", 129), "not UTF-8": "a\xff", "with a control character": "a\x7f", "with a C1 control": "a\u0085",
	} {
		if err := protocol.ValidateID(id); err == nil {
			t.Errorf("an id that is %s was accepted", name)
		}
	}
	if err := protocol.ValidateClient(strings.Repeat("é", 128)); err != nil {
		t.Errorf("a client id of 256 bytes is refused: %v", err)
	}
	if err := protocol.ValidateClient(strings.Repeat("é", 129)); err == nil {
		t.Error("a client id of 258 bytes was accepted")
	}
}

func TestAnyTextIsWrittenAsValidJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOf(rapid.Byte()).Draw(t, "text"))
		frame := protocol.Error{Code: "x", Message: text}.Append(nil)
		var got struct{ Message string }
		if err := json.Unmarshal(frame, &got); err != nil {
			t.Fatalf("%q: %v: one odd reason would break the client's connection", frame, err)
		}
		if want := string([]rune(text)); want != got.Message { // runes: each bad byte becomes U+FFFD
			t.Fatalf("%q came back as %q, want %q", text, got.Message, want)
		}
	})
}

func TestOffsetsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := protocol.Offset{Topic: rapid.StringMatching(`[A-Za-z0-9_-]{1,32}`).Draw(t, "topic"), Value: rapid.Int64Min(0).Draw(t, "value")}
		back, err := protocol.ParseOffset(o.String())
		if err != nil || back != o || o.Validate() != nil {
			t.Fatalf("%v became %v, %v: a resuming client would lose its place", o, back, err)
		}
	})
}

func TestBadOffsetsAreRefused(t *testing.T) {
	for _, text := range []string{"", ":", "t", "t:", ":1", "t:+1", "t:1:2", "t: 1", "t:1 ", "t:0x1", "tö:1", strings.Repeat("t", 33) + ":1", "t:1e3", "t:99999999999999999999"} {
		if o, err := protocol.ParseOffset(text); err == nil {
			t.Errorf("%q was read as %v: two spellings of one place, or none", text, o)
		}
	}
	for _, o := range []protocol.Offset{{}, {Topic: "t", Value: -1}, {Topic: "a:b"}} {
		if o.Validate() == nil {
			t.Errorf("%#v passed: its text could not be read back", o)
		}
	}
	if (protocol.Offset{}).String() != "" || !(protocol.Offset{}).IsZero() {
		t.Error("the zero offset is not none")
	}
}
