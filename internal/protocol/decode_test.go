package protocol_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/internal/protocol"
)

func nested(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }

func TestBadClientFrameIsRefusedWithTheFieldAndTheFix(t *testing.T) {
	tests := []struct {
		name, frame, code, field, says string
	}{
		{"nothing at all", ``, "bad_frame", "", "is empty"},
		{"only white space", "  \n", "bad_frame", "", "exactly one JSON object"},
		{"no JSON", `hello`, "bad_frame", "", "exactly one JSON object"},
		{"an object cut short", `{"type":"ping"`, "bad_frame", "", "exactly one JSON object"},
		{"an array", `["ping"]`, "bad_frame", "", "is not a JSON object"},
		{"null", `null`, "bad_frame", "", "is not a JSON object"},
		{"a second object behind the first", `{"type":"ping"}{"type":"ping"}`, "bad_frame", "", "exactly one JSON object"},
		{"a byte behind the object", `{"type":"ping"}x`, "bad_frame", "", "exactly one JSON object"},
		{"a comma too many", `{"type":"ping",}`, "bad_frame", "", "exactly one JSON object"},
		{"a byte that is no UTF-8", "{\"type\":\"ping\",\"x\":\"\xff\"}", "bad_frame", "", "UTF-8"},
		{"an overlong UTF-8 form", "{\"type\":\"\xc1\xb0ing\"}", "bad_frame", "", "UTF-8"},
		{"a surrogate encoded as UTF-8", "{\"type\":\"ping\",\"x\":\"\xed\xa0\x80\"}", "bad_frame", "", "UTF-8"},
		{"a frame over the size limit", `{"type":"ping","x":"` + strings.Repeat("a", protocol.MaxFrameBytes) + `"}`, "too_big", "", "65536"},
		{"nesting one level too deep", `{"type":"message","id":"1","to":"b","payload":` + nested(protocol.MaxDepth) + `}`, "bad_frame", "", "64 levels"},
		{"nesting that would exhaust a recursive reader", strings.Repeat("[", 60000), "bad_frame", "", "64 levels"},
		{"thirty-three fields", `{"type":"ping"` + manyFields(32) + `}`, "bad_frame", "", "32 fields"},
		{"no type", `{"id":"1"}`, "bad_frame", "type", "is missing"},
		{"an empty type", `{"type":""}`, "bad_frame", "type", "is empty"},
		{"a type that is a number", `{"type":7}`, "bad_frame", "type", "a number"},
		{"a type that nobody knows", `{"type":"subscribe"}`, "bad_frame", "type", `"subscribe" is unknown`},
		{"a type that only nodes send", `{"type":"welcome"}`, "bad_frame", "type", "is unknown"},
		{"a type in capitals", `{"type":"Ping"}`, "bad_frame", "type", "is unknown"},
		{"a field name in capitals", `{"TYPE":"ping"}`, "bad_frame", "type", "is missing"},
		{"the type twice", `{"type":"ping","type":"ack"}`, "bad_frame", "type", "is there twice"},
		{"a field twice, once in escapes", `{"type":"ping","\u0074ype":"ack"}`, "bad_frame", "type", "is there twice"},
		{"a message without id", `{"type":"message","to":"b","payload":1}`, "bad_frame", "id", "is missing"},
		{"a message without to", `{"type":"message","id":"1","payload":1}`, "bad_frame", "to", "is missing"},
		{"a message without payload", `{"type":"message","id":"1","to":"b"}`, "bad_frame", "payload", "is missing"},
		{"an id that is a number", `{"type":"message","id":1,"to":"b","payload":1}`, "bad_frame", "id", "a number"},
		{"an id that is null", `{"type":"message","id":null,"to":"b","payload":1}`, "bad_frame", "id", "null"},
		{"an empty id", `{"type":"message","id":"","to":"b","payload":1}`, "bad_frame", "id", "is empty"},
		{"an id one byte too long", `{"type":"message","id":"` + strings.Repeat("a", 129) + `","to":"b","payload":1}`, "too_big", "id", "129 bytes"},
		{"an id of 60,000 bytes", `{"type":"message","id":"` + strings.Repeat("a", 60000) + `","to":"b","payload":1}`, "too_big", "id", "60000 bytes"},
		{"an id with a NUL", `{"type":"message","id":"a\u0000b","to":"b","payload":1}`, "bad_frame", "id", "control character at byte 1"},
		{"an id with a line break in an escape", `{"type":"message","id":"\/\\\"\t","to":"b","payload":1}`, "bad_frame", "id", "control character at byte 3"},
		{"an id with half a surrogate pair", `{"type":"message","id":"\ud800","to":"b","payload":1}`, "bad_frame", "id", "surrogate"},
		{"an id with a pair the wrong way round", `{"type":"message","id":"\udc00\ud800","to":"b","payload":1}`, "bad_frame", "id", "surrogate"},
		{"a recipient one byte too long", `{"type":"message","id":"1","to":"` + strings.Repeat("a", 257) + `","payload":1}`, "too_big", "to", "257 bytes"},
		{"a recipient that is a list", `{"type":"message","id":"1","to":["b","c"],"payload":1}`, "bad_frame", "to", "an array"},
		{"a recipient with a line break", `{"type":"message","id":"1","to":"b\n","payload":1}`, "bad_frame", "to", "control character"},
		{"an ack without offset", `{"type":"ack"}`, "bad_frame", "offset", "is missing"},
		{"an ack whose offset is a number", `{"type":"ack","offset":12}`, "bad_frame", "offset", "a number"},
		{"an ack without topic", `{"type":"ack","offset":"12"}`, "bad_frame", "offset", "no colon"},
		{"an ack of a negative offset", `{"type":"ack","offset":"t:-1"}`, "bad_frame", "offset", "plain number"},
		{"an ack of an offset beyond int64", `{"type":"ack","offset":"t:9223372036854775808"}`, "bad_frame", "offset", "plain number"},
		{"an ack of an offset with a leading zero", `{"type":"ack","offset":"t:01"}`, "bad_frame", "offset", "plain number"},
		{"a refresh without token", `{"type":"refresh"}`, "bad_frame", "token", "is missing"},
		{"a refresh with a token over 8 KiB", `{"type":"refresh","token":"` + strings.Repeat("a", 8193) + `"}`, "too_big", "token", "8193 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			frame, err := protocol.DecodeClient([]byte(tt.frame))
			var bad *protocol.BadFrame
			if !errors.As(err, &bad) {
				t.Fatalf("DecodeClient gave %#v, %v: a bad frame would reach the session", frame, err)
			}
			if bad.Code != tt.code || bad.Field != tt.field || !strings.Contains(bad.Error(), tt.says) {
				t.Errorf("code %q field %q error %q: want %q, %q and words with %q", bad.Code, bad.Field, bad, tt.code, tt.field, tt.says)
			}
			if len(bad.Error()) > 300 {
				t.Errorf("the error has %d bytes: a client could make the node write its own input back at length", len(bad.Error()))
			}
		})
	}
}

func manyFields(count int) string {
	var b strings.Builder
	for i := range count {
		b.WriteString(`,"f` + strconv.Itoa(i) + `":0`)
	}
	return b.String()
}

func TestBadFrameSaysWhichMessageItIsAbout(t *testing.T) {
	_, err := protocol.DecodeClient([]byte(`{"type":"message","id":"m7","to":"","payload":1}`))
	var bad *protocol.BadFrame
	if !errors.As(err, &bad) {
		t.Fatalf("got %v, want a *BadFrame", err)
	}
	if got := bad.Frame(); got.ID != "m7" || got.Code != protocol.CodeBadFrame {
		t.Errorf("the error frame is %+v: its sender could not tell which message was refused", got)
	}
	if bad.CloseCode() != protocol.CloseProtocol {
		t.Errorf("close code %d, want 1002", bad.CloseCode())
	}
}

func TestBadFrameNeverRepeatsAToken(t *testing.T) {
	secret := strings.Repeat("s3cr3t", 2000)
	for _, frame := range []string{
		`{"type":"refresh","token":"` + secret + `"}`,
		`{"type":"refresh","token":["` + secret[:600] + `"]}`,
		`{"type":"refresh","token":"` + secret[:600] + `\ud800"}`,
	} {
		_, err := protocol.DecodeClient([]byte(frame))
		if err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("error %v repeats the token: it would be in every log", err)
		}
	}
}

func TestGoodClientFramesAreReadAsTheyAreMeant(t *testing.T) {
	tests := []struct {
		name, frame string
		want        protocol.ClientFrame
	}{
		{"a message", `{"type":"message","id":"1","to":"bob","payload":{"a":[1, 2]}}`, protocol.Send{ID: "1", To: "bob", Payload: []byte(`{"a":[1, 2]}`)}},
		{"a message whose payload is null", `{"type":"message","id":"1","to":"bob","payload":null}`, protocol.Send{ID: "1", To: "bob", Payload: []byte(`null`)}},
		{"fields in another order, white space everywhere", " { \"payload\" : \"}{,\\\"\" ,\n\"to\":\"b\" , \"id\":\"1\",\t\"type\" : \"message\" } ", protocol.Send{ID: "1", To: "b", Payload: []byte(`"}{,\""`)}},
		{"a newer client's field", `{"type":"ping","trace":{"id":[[]]}}`, protocol.Ping{}},
		{"an ack", `{"type":"ack","offset":"tA_-9:0"}`, protocol.Ack{Offset: protocol.Offset{Topic: "tA_-9"}}},
		{"a refresh", `{"type":"refresh","token":"a.b.c"}`, protocol.Refresh{Token: "a.b.c"}},
		{"a ping", `{"type":"ping"}`, protocol.Ping{}},
		{"nesting at the limit", `{"type":"message","id":"1","to":"b","payload":` + nested(63) + `}`, protocol.Send{ID: "1", To: "b", Payload: []byte(nested(63))}},
		{"brackets inside strings", `{"type":"message","id":"1","to":"b","payload":"` + strings.Repeat("[", 500) + `"}`, protocol.Send{ID: "1", To: "b", Payload: []byte(`"` + strings.Repeat("[", 500) + `"`)}},
		{"ids at their limits", `{"type":"message","id":"` + strings.Repeat("i", 128) + `","to":"` + strings.Repeat("t", 256) + `","payload":1}`, protocol.Send{ID: strings.Repeat("i", 128), To: strings.Repeat("t", 256), Payload: []byte(`1`)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := protocol.DecodeClient([]byte(tt.frame))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestIDsSurviveTheirEscapes(t *testing.T) {
	frame, err := protocol.DecodeClient([]byte(`{"type":"message","id":"\u00e9\/\\\"","to":"\ud83d\ude00","payload":0}`))
	want := protocol.Send{ID: `é/\"`, To: "😀", Payload: []byte("0")}
	if diff := cmp.Diff(protocol.ClientFrame(want), frame); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestDecodedPayloadDoesNotChangeWithTheReadBuffer(t *testing.T) {
	data := []byte(`{"type":"message","id":"1","to":"b","payload":"first"}`)
	frame, err := protocol.DecodeClient(data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		data[i] = 'x'
	}
	if got := frame.(protocol.Send); string(got.Payload) != `"first"` || got.ID != "1" {
		t.Errorf("got %+v: the next frame of this connection would overwrite a message under way", got)
	}
}

func TestServerFramesAreWrittenAsTheDesignSays(t *testing.T) {
	offset := protocol.Offset{Topic: "t1", Value: 42}
	at := time.UnixMilli(1_700_000_000_123).UTC()
	tests := []struct {
		name  string
		frame protocol.ServerFrame
		want  string
	}{
		{"welcome", protocol.Welcome{ClientID: "a", NodeID: "n-1", Epoch: 3, Resumed: true, ResumeToken: "tr1.x"}, `{"type":"welcome","clientId":"a","nodeId":"n-1","epoch":3,"resumed":true,"resumeToken":"tr1.x"}`},
		{"message", protocol.Message{ID: "1", From: "b", Offset: offset, Payload: []byte(`{"k":1}`), TS: at}, `{"type":"message","id":"1","from":"b","offset":"t1:42","payload":{"k":1},"ts":1700000000123}`},
		{"accepted", protocol.Accepted{ID: "1"}, `{"type":"accepted","id":"1"}`},
		{"moved", protocol.Moved{URL: "wss://x/n-2?a=b&c"}, `{"type":"moved","url":"wss://x/n-2?a=b&c"}`},
		{"drain", protocol.Drain{Deadline: at, Reason: "scale-in", RetryAfter: 1500 * time.Millisecond, URL: "u"}, `{"type":"drain","deadline":1700000000123,"reason":"scale-in","retryAfterMs":1500,"url":"u"}`},
		{"drain without address and wait", protocol.Drain{Deadline: at, Reason: "r"}, `{"type":"drain","deadline":1700000000123,"reason":"r"}`},
		{"error", protocol.Error{Code: "no_session", Message: "m", ID: "1", RetryAfter: time.Second}, `{"type":"error","code":"no_session","message":"m","id":"1","retryAfterMs":1000}`},
		{"error about nothing", protocol.Error{Code: "bad_frame", Message: "m"}, `{"type":"error","code":"bad_frame","message":"m"}`},
		{"pong", protocol.Pong{Offset: offset}, `{"type":"pong","offset":"t1:42"}`},
		{"pong before anything was delivered", protocol.Pong{}, `{"type":"pong"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := tt.frame.Append([]byte("kept"))
			if string(text) != "kept"+tt.want {
				t.Fatalf("wrote %s\nwant kept%s", text, tt.want)
			}
			back, err := protocol.DecodeServer(text[4:])
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.frame, back); diff != "" {
				t.Errorf("the client reads something else (-sent +read)\n%s", diff)
			}
		})
	}
}

func TestBadServerFrameIsRefused(t *testing.T) {
	tests := []struct{ name, frame, field string }{
		{"a type of clients only", `{"type":"ack","offset":"t:1"}`, "type"},
		{"an epoch with a fraction", `{"type":"welcome","clientId":"a","nodeId":"n","epoch":1.5,"resumed":true}`, "epoch"},
		{"an epoch with an exponent", `{"type":"welcome","clientId":"a","nodeId":"n","epoch":1e3,"resumed":true}`, "epoch"},
		{"a negative epoch", `{"type":"welcome","clientId":"a","nodeId":"n","epoch":-1,"resumed":true}`, "epoch"},
		{"a text for a flag", `{"type":"welcome","clientId":"a","nodeId":"n","epoch":1,"resumed":"true"}`, "resumed"},
		{"a message without offset", `{"type":"message","id":"1","from":"b","payload":1,"ts":1}`, "offset"},
		{"a time after the year 9999", `{"type":"drain","deadline":253402300800000}`, "deadline"},
		{"a wait that overflows", `{"type":"error","code":"x","retryAfterMs":9223372036854775807}`, "retryAfterMs"},
		{"moved to nowhere", `{"type":"moved","url":""}`, "url"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			frame, err := protocol.DecodeServer([]byte(tt.frame))
			var bad *protocol.BadFrame
			if !errors.As(err, &bad) || bad.Field != tt.field {
				t.Errorf("got %#v, %v: want a fault of field %q", frame, err, tt.field)
			}
		})
	}
}

func TestARetryIsNeverToldTooEarly(t *testing.T) {
	text := string(protocol.Error{Code: "x", RetryAfter: time.Millisecond + 1}.Append(nil))
	if !strings.Contains(text, `"retryAfterMs":2`) {
		t.Errorf("%s: a client that comes back too early is refused again", text)
	}
}
