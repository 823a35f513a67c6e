package protocol_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/tidegate/tidegate/internal/protocol"
)

// checkFault holds every refusal to its promise: a *BadFrame with a code and words.
func checkFault(t *testing.T, err error) {
	t.Helper()
	var bad *protocol.BadFrame
	if !errors.As(err, &bad) || bad.Msg == "" || bad.Code != protocol.CodeBadFrame && bad.Code != protocol.CodeTooBig {
		t.Fatalf("the error %#v is not a whole *BadFrame", err)
	}
	if answer := bad.Frame().Append(nil); !json.Valid(answer) {
		t.Fatalf("the answer %q is not JSON", answer)
	}
}

// FuzzDecodeClient checks that whatever is accepted is within bounds, is JSON that the standard library reads too, and means
// the same after it was written and read again.
func FuzzDecodeClient(f *testing.F) {
	for _, seed := range []string{
		`{"type":"message","id":"1","to":"b","payload":{"a":[1,"\ud83d\ude00"]}}`, `{"type":"ack","offset":"t:12"}`, `{"type":"refresh","token":"x"}`,
		`{"type":"ping"}`, ` {"type" : "ping" , "x":[{}]} `, `{"\u0074ype":"ping"}`, `[[[[`, `{"type":"message","id":"\ud800","to":"b","payload":-0.0e1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		frame, err := protocol.DecodeClient(data)
		if err != nil {
			checkFault(t, err)
			return
		}
		if len(data) > protocol.MaxFrameBytes || !json.Valid(data) {
			t.Fatalf("accepted %d bytes, valid JSON: %v", len(data), json.Valid(data))
		}
		if send, ok := frame.(protocol.Send); ok {
			if protocol.ValidateID(send.ID) != nil || protocol.ValidateClient(send.To) != nil || !json.Valid(send.Payload) {
				t.Fatalf("a message out of bounds came through: %+v", send)
			}
		}
		if ack, ok := frame.(protocol.Ack); ok && ack.Offset.Validate() != nil {
			t.Fatalf("an offset out of bounds came through: %+v", ack)
		}
		again := frame.Append(nil)
		back, err := protocol.DecodeClient(again)
		if len(again) <= protocol.MaxFrameBytes && (err != nil || !reflect.DeepEqual(frame, back)) {
			t.Fatalf("%q was written as %q and read as %#v, %v", data, again, back, err)
		}
	})
}

// FuzzDecodeServer checks the same for what clients read.
func FuzzDecodeServer(f *testing.F) {
	for _, seed := range []string{
		`{"type":"welcome","clientId":"a","nodeId":"n","epoch":1,"resumed":false,"resumeToken":"t"}`,
		`{"type":"message","id":"1","from":"b","offset":"t:1","payload":null,"ts":1}`, `{"type":"accepted","id":"1"}`, `{"type":"moved","url":"u"}`,
		`{"type":"drain","deadline":1,"reason":"r","retryAfterMs":5,"url":"u"}`, `{"type":"error","code":"c","message":"m","id":"1","retryAfterMs":1}`,
		`{"type":"pong"}`, `{"type":"pong","offset":"t:9"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		frame, err := protocol.DecodeServer(data)
		if err != nil {
			checkFault(t, err)
			return
		}
		again := frame.Append(nil)
		back, err := protocol.DecodeServer(again)
		if len(again) > protocol.MaxServerFrameBytes {
			return
		}
		if err != nil || !bytes.Equal(again, back.Append(nil)) || !reflect.DeepEqual(frame, back) {
			t.Fatalf("%q was written as %q and read as %#v, %v", data, again, back, err)
		}
	})
}

// FuzzOffset checks that an offset has exactly one spelling.
func FuzzOffset(f *testing.F) {
	for _, seed := range []string{"t:0", "abc_-9:9223372036854775807", "t:01", ":", "t:-1", "a:b:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		offset, err := protocol.ParseOffset(text)
		if err != nil {
			return
		}
		if offset.Validate() != nil || offset.String() != text || offset.IsZero() {
			t.Fatalf("%q was read as %#v, whose text is %q", text, offset, offset.String())
		}
	})
}
