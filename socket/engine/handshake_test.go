package engine_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/socket/engine"
)

func TestEveryBadHandshakeGetsItsStatusAndAReason(t *testing.T) {
	h := newHost()
	h.admit = func(r *http.Request) (any, *engine.Refusal) {
		if r.Header.Get("Authorization") == "Bearer bad" {
			return nil, &engine.Refusal{Status: http.StatusUnauthorized, Message: "token refused: it has expired"}
		}
		if r.Header.Get("Authorization") == "Bearer odd" {
			return nil, &engine.Refusal{Status: 799, Message: "an unknown status"}
		}
		return "ticket", nil
	}
	r := start(t, quick(), h)
	healthy := neighbour(t, r.addr)
	<-r.sessions
	const line = connectLine
	tests := []struct {
		name, request string
		status        int
		says, header  string // words of the body; a header that must be there
	}{
		{"a POST", request("POST " + protocol.ConnectPath + " HTTP/1.1"), 405, "GET", "Allow: GET"},
		{"a HEAD", request("HEAD " + protocol.ConnectPath + " HTTP/1.1"), 405, "", "Allow: GET"},
		{"another path", request("GET /admin HTTP/1.1"), 404, "/ws/connect", ""},
		{"a POST to another path", request("POST / HTTP/1.1"), 404, "/ws/connect", ""},
		{"a path that only begins alike", request("GET /ws/connect/../drain HTTP/1.1"), 404, "/ws/connect", ""},
		{"a plain GET", request(line, "Upgrade: ", "Connection: "), 426, "WebSocket only", "Upgrade: websocket"},
		{"HTTP/1.0", request("GET " + protocol.ConnectPath + " HTTP/1.0"), 505, "HTTP/1.1", ""},
		{"no Upgrade", request(line, "Upgrade: "), 400, "Upgrade", ""},
		{"another Upgrade", request(line, "Upgrade: h2c"), 400, "Upgrade", ""},
		{"no Connection", request(line, "Connection: "), 400, "Connection", ""},
		{"version 8", request(line, "Sec-WebSocket-Version: 8"), 426, "version 13", "Sec-WebSocket-Version: 13"},
		{"no version", request(line, "Sec-WebSocket-Version: "), 426, "version 13", "Sec-WebSocket-Version: 13"},
		{"two versions", request(line, "X: y\r\nSec-WebSocket-Version: 8"), 400, "twice", ""},
		{"no key", request(line, "Sec-WebSocket-Key: "), 400, "Key", ""},
		{"a key of 15 bytes", request(line, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"), 400, "Key", ""},
		{"a key that is no base64", request(line, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q=="), 400, "Key", ""},
		{"two keys", request(line, "X: y\r\nSec-WebSocket-Key: "+goodKey), 400, "twice", ""},
		{"no subprotocol", request(line, "Sec-WebSocket-Protocol: "), 400, "tidegate.v1", ""},
		{"another subprotocol", request(line, "Sec-WebSocket-Protocol: chat, tidegate.v2"), 400, "tidegate.v1", ""},
		{"the subprotocol in capitals", request(line, "Sec-WebSocket-Protocol: TIDEGATE.V1"), 400, "tidegate.v1", ""},
		{"no Host", request(line, "Host: "), 400, "Host", ""},
		{"two Hosts", request(line, "host: other.example"), 400, "HTTP", ""},
		{"another origin", request(line, "Origin: https://evil.example"), 403, "origin", ""},
		{"the null origin of a sandboxed page", request(line, "Origin: null"), 403, "origin", ""},
		{"two origins", request(line, "Origin: http://node.example", "X: y\r\nOrigin: https://evil.example"), 400, "twice", ""},
		{"a body", request(line, "Content-Length: 5"), 400, "body", ""},
		{"a chunked body", request(line, "Transfer-Encoding: chunked"), 400, "body", ""},
		{"two lengths that differ", request(line, "Content-Length: 5\r\nContent-Length: 6"), 400, "", ""},
		{"a header without colon", request(line, "nonsense"), 400, "HTTP", ""},
		{"a header that goes on in the next line", request(line, "X: a\r\n b"), 101, "", ""},
		{"no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "HTTP", ""},
		{"a head of 17 KiB", request(line, "X: "+strings.Repeat("a", 17<<10)), 431, "16384", ""},
		{"an address of 17 KiB", request("GET " + protocol.ConnectPath + "?x=" + strings.Repeat("a", 17<<10) + " HTTP/1.1"), 431, "16384", ""},
		{"a thousand headers", request(line, strings.Repeat("X: y\r\n", 4000)), 431, "16384", ""},
		{"a bad token", request(line, "Authorization: Bearer bad"), 401, "token refused", ""},
		{"two tokens", request(line, "Authorization: Bearer a", "X: y\r\nAuthorization: Bearer b"), 400, "twice", ""},
		{"a refusal with a status that is none", request(line, "Authorization: Bearer odd"), 500, "", ""},
		{"a good one", request(line), 101, "", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
		{"a good one with lists and other spellings", request(line, "Upgrade: foo, WebSocket", "Connection: keep-alive, uPGRADE", "Sec-WebSocket-Protocol: bearer.x.y.z , tidegate.v1"), 101, "", "Sec-WebSocket-Protocol: tidegate.v1"},
		{"a good one of a browser", request(line, "Origin: https://NODE.example"), 101, "", "Upgrade: websocket"},
		{"a good one with a query", request("GET " + protocol.ConnectPath + "?token=x HTTP/1.1"), 101, "", ""},
		{"a good one that offers compression", request(line, "Sec-WebSocket-Extensions: permessage-deflate"), 101, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, r.addr)
			c.send(t, []byte(tt.request))
			answer, err := http.ReadResponse(c.in, &http.Request{Method: http.MethodGet})
			if err != nil {
				t.Fatalf("no answer: %v", err)
			}
			if answer.StatusCode != tt.status {
				t.Errorf("status %d, want %d", answer.StatusCode, tt.status)
			}
			if name, value, _ := strings.Cut(tt.header, ": "); tt.header != "" && answer.Header.Get(name) != value {
				t.Errorf("header %s is %q, want %q", name, answer.Header.Get(name), value)
			}
			if answer.Header.Get("Sec-WebSocket-Extensions") != "" {
				t.Error("an extension was agreed that the engine does not speak")
			}
			if tt.status == http.StatusSwitchingProtocols {
				_ = c.Close()
				closedWith(t, <-r.sessions)
				return
			}
			body, err := io.ReadAll(answer.Body)
			if err != nil || !strings.Contains(string(body), tt.says) || len(body) < 5 && tt.name != "a HEAD" {
				t.Errorf("body %q, %v: want words with %q", body, err, tt.says)
			}
			if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("after a refusal the connection is still there: %v", err)
			}
			healthy(t)
		})
	}
}

func TestOriginsAreMatchedExactly(t *testing.T) {
	o := quick()
	o.Origins = []string{"https://app.example", "https://*.tenant.example"}
	r := start(t, o, newHost())
	for origin, status := range map[string]int{
		"": 101, "https://app.example": 101, "HTTPS://APP.EXAMPLE": 101, "https://a.tenant.example": 101,
		"http://app.example": 403, "https://app.example.evil.example": 403, "https://app.example:8443": 403, "https://tenant.example": 403,
		"https://a.b.tenant.example": 403, "https://evil.example/.tenant.example": 403, "https://eviltenant.example": 403, "https://.tenant.example": 403, "http://node.example": 403,
	} {
		c := dial(t, r.addr)
		c.send(t, []byte(request(connectLine, "Origin: "+origin)))
		answer, err := http.ReadResponse(c.in, nil)
		if err != nil || answer.StatusCode != status {
			t.Errorf("origin %q: %v, %v; want %d", origin, answer, err, status)
		}
		_ = c.Close()
	}
}

func TestHandlersSeeTheRequestAndTheTicketComesToOpen(t *testing.T) {
	h := newHost()
	seen := make(chan *http.Request, 1)
	h.admit = func(r *http.Request) (any, *engine.Refusal) {
		seen <- r
		if _, ok := r.Context().Deadline(); !ok {
			t.Error("Admit has no deadline: a slow key server would hold handshakes for ever")
		}
		return 42, nil
	}
	r := start(t, quick(), h)
	c := dial(t, r.addr)
	c.send(t, []byte(request("GET "+protocol.ConnectPath+"?offset=t%3A7 HTTP/1.1", "Authorization: Bearer a.b.c")))
	got := <-seen
	if got.Header.Get("Authorization") != "Bearer a.b.c" || got.URL.Query().Get("offset") != "t:7" || got.RemoteAddr != c.LocalAddr().String() || got.Host != "node.example" {
		t.Errorf("Admit saw %+v", got)
	}
	s := <-r.sessions
	if s.ticket != 42 || s.conn.Remote() != c.LocalAddr().String() {
		t.Errorf("Open got ticket %v of %s", s.ticket, s.conn.Remote())
	}
	_ = c.Close()
	if e := closedWith(t, s); e.code != 1006 || e.cause == nil {
		t.Errorf("a client that just went away ended with %d, %v", e.code, e.cause)
	}
}

func TestFramesBehindTheHandshakeAreNotLost(t *testing.T) {
	r := start(t, quick(), newHost())
	c := dial(t, r.addr)
	c.send(t, append([]byte(request(connectLine)), join(frame(fin|text, "early"), closeFrame(1000, ""))...))
	if answer, err := http.ReadResponse(c.in, nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", answer, err)
	}
	if got := strings.Join(c.events(t), " "); got != "text:early close:1000" {
		t.Errorf("got %q: what a fast client sends at once would be lost", got)
	}
}

func TestIndependentClientTalks(t *testing.T) {
	r := start(t, quick(), newHost())
	c := websocketDial(t, r.addr)
	if c.Subprotocol() != protocol.Subprotocol {
		t.Errorf("subprotocol %q", c.Subprotocol())
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	c.SetReadLimit(1 << 20)
	for _, size := range []int{0, 1, 125, 126, 1000, 40_000, 65_536} {
		want := strings.Repeat("ü", size/2)
		if err := c.Write(ctx, websocket.MessageText, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if kind, got, err := c.Read(ctx); err != nil || kind != websocket.MessageText || string(got) != want {
			t.Fatalf("%d bytes came back as %d bytes of kind %v, %v", len(want), len(got), kind, err)
		}
	}
	s := <-r.sessions
	s.conn.Close(4001, "replaced")
	if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != 4001 || !strings.Contains(err.Error(), "replaced") {
		t.Errorf("the client saw %v, want 4001", err)
	}
	if e := closedWith(t, s); e.code != 4001 || e.cause != nil {
		t.Errorf("the receiver was told %d, %v", e.code, e.cause)
	}
}

func TestAHeadInSmallPiecesIsStillAHead(t *testing.T) {
	r := start(t, quick(), newHost())
	c := dial(t, r.addr)
	for _, b := range []byte(request(connectLine)) {
		c.send(t, []byte{b})
	}
	if answer, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", answer, err)
	}
}
