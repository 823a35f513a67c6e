package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/socket/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a scripted socket node: each connection is handed to the test with the query it came with.
type node struct {
	*httptest.Server
	visits chan *visit
	stop   chan struct{}
	open   sync.WaitGroup
}

type visit struct {
	t     *testing.T
	conn  *websocket.Conn
	query map[string][]string
	end   chan struct{}
}

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{visits: make(chan *visit, 8), stop: make(chan struct{})}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{protocol.Subprotocol}})
		if err != nil {
			return
		}
		v := &visit{t: t, conn: conn, query: r.URL.Query(), end: make(chan struct{})}
		n.open.Add(1)
		defer n.open.Done()
		n.visits <- v
		select {
		case <-v.end:
		case <-n.stop:
			_ = conn.CloseNow()
		}
	}))
	t.Cleanup(func() {
		close(n.stop)
		n.Close()
		n.open.Wait()
	})
	return n
}

func (n *node) url() string { return "ws" + strings.TrimPrefix(n.URL, "http") + protocol.ConnectPath }

func (n *node) next(t *testing.T) *visit {
	t.Helper()
	select {
	case v := <-n.visits:
		t.Cleanup(v.close)
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("the client did not connect")
		return nil
	}
}

func (v *visit) send(f protocol.ServerFrame) {
	v.t.Helper()
	if err := v.conn.Write(v.t.Context(), websocket.MessageText, f.Append(nil)); err != nil {
		v.t.Errorf("node writes %T: %v", f, err)
	}
}

// receive returns the next frame that is no ack and no ping.
func (v *visit) receive() protocol.ClientFrame {
	v.t.Helper()
	for {
		_, data, err := v.conn.Read(v.t.Context())
		if err != nil {
			v.t.Fatalf("node reads: %v", err)
		}
		frame, err := protocol.DecodeClient(data)
		if err != nil {
			v.t.Fatalf("client sent a bad frame: %v", err)
		}
		switch frame.(type) {
		case protocol.Ack, protocol.Ping:
			continue
		}
		return frame
	}
}

func (v *visit) close() {
	_ = v.conn.CloseNow()
	select {
	case <-v.end:
	default:
		close(v.end)
	}
}

type inbox struct {
	mu   sync.Mutex
	got  []string
	more chan struct{}
}

func (i *inbox) take(m client.Message) {
	i.mu.Lock()
	i.got = append(i.got, m.ID)
	i.mu.Unlock()
	i.more <- struct{}{}
}

func start(t *testing.T, n *node, in *inbox) (*client.Client, chan error) {
	t.Helper()
	transport := &http.Transport{}
	c := client.New(client.Options{
		Client: "ann",
		Resolve: func(context.Context, string, string) (client.Place, error) {
			return client.Place{URL: n.url(), TableVersion: 3}, nil
		},
		OnMessage: in.take,
		HTTP:      &http.Client{Transport: transport},
		Backoff:   time.Millisecond, MaxBackoff: 10 * time.Millisecond,
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() { ended <- c.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		transport.CloseIdleConnections()
	})
	return c, ended
}

func message(id string, at int64) protocol.Message {
	return protocol.Message{ID: id, From: "bob", Offset: protocol.Offset{Topic: "t", Value: at}, Payload: json.RawMessage(`1`)}
}

func welcome(token string, resumed bool) protocol.Welcome {
	return protocol.Welcome{ClientID: "ann", NodeID: "n1", Epoch: 1, Resumed: resumed, ResumeToken: token}
}

func (i *inbox) wait(t *testing.T, n int) []string {
	t.Helper()
	for range n {
		select {
		case <-i.more:
		case <-time.After(10 * time.Second):
			t.Fatalf("waited for %d messages, have %v", n, i.got)
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.got
}

func TestADrainIsFollowedBeforeTheOldConnectionCloses(t *testing.T) {
	first, second := newNode(t), newNode(t)
	in := &inbox{more: make(chan struct{}, 16)}
	c, _ := start(t, first, in)
	old := first.next(t)
	old.send(welcome("resume-1", false))
	old.send(message("m1", 10))
	in.wait(t, 1)
	old.send(protocol.Drain{URL: second.url(), Reason: "test", Deadline: time.Now()})
	fresh := second.next(t)
	if got := fresh.query[protocol.ParamResume]; len(got) != 1 || got[0] != "resume-1" {
		t.Errorf("resume token is %v: the session would start anew and lose its place", got)
	}
	if got := fresh.query[protocol.ParamOffset]; len(got) != 1 || got[0] != "t:10" {
		t.Errorf("offset is %v: messages would come again, or never", got)
	}
	old.send(message("m2", 11))
	in.wait(t, 1)
	fresh.send(welcome("resume-2", true))
	fresh.send(message("m2", 11))
	fresh.send(message("m3", 12))
	got := in.wait(t, 1)
	if len(got) != 3 || got[2] != "m3" {
		t.Errorf("the app saw %v: want m1 m2 m3, each once", got)
	}
	if s := c.Stats(); s.Moves != 1 || s.Losses != 0 {
		t.Errorf("stats are %+v: the client broke before it made", s)
	}
}

func TestMovedIsFollowedAndUnacceptedMessagesAreSentAgain(t *testing.T) {
	first, second := newNode(t), newNode(t)
	in := &inbox{more: make(chan struct{}, 16)}
	c, _ := start(t, first, in)
	lost := first.next(t)
	lost.send(welcome("r", false))
	results := make(chan error, 2)
	for _, id := range []string{"a", "b"} {
		if err := c.Send("bob", id, json.RawMessage(`{}`), func(err error) { results <- err }); err != nil {
			t.Fatal(err)
		}
	}
	if f, ok := lost.receive().(protocol.Send); !ok || f.ID != "a" {
		t.Fatalf("node got %v", f)
	}
	lost.close()
	again := first.next(t)
	again.send(protocol.Moved{URL: second.url()})
	there := second.next(t)
	there.send(welcome("r2", true))
	for _, id := range []string{"a", "b"} {
		f, ok := there.receive().(protocol.Send)
		if !ok || f.ID != id {
			t.Fatalf("after the reconnect the node got %+v: want %s, or order is lost", f, id)
		}
		there.send(protocol.Accepted{ID: id})
		if err := <-results; err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestARefusalThatTimeHealsIsTriedAgainAndAFinalOneIsNot(t *testing.T) {
	n := newNode(t)
	c, _ := start(t, n, &inbox{more: make(chan struct{}, 16)})
	v := n.next(t)
	v.send(welcome("r", false))
	results := make(chan error, 1)
	if err := c.Send("bob", "a", json.RawMessage(`{}`), func(err error) { results <- err }); err != nil {
		t.Fatal(err)
	}
	v.receive()
	v.send(protocol.Error{Code: protocol.CodeUnavailable, ID: "a", RetryAfter: time.Millisecond})
	if f, ok := v.receive().(protocol.Send); !ok || f.ID != "a" {
		t.Fatalf("node got %+v: the message is forgotten", f)
	}
	v.send(protocol.Error{Code: protocol.CodeNoSession, ID: "a"})
	if err := <-results; !errors.Is(err, client.ErrNoSession) {
		t.Errorf("outcome is %v: want ErrNoSession", err)
	}
}

func TestAReplacedClientDoesNotComeBack(t *testing.T) {
	n := newNode(t)
	_, ended := start(t, n, &inbox{more: make(chan struct{}, 16)})
	v := n.next(t)
	v.send(welcome("r", false))
	_ = v.conn.Close(websocket.StatusCode(protocol.CloseReplaced), "replaced")
	if err := <-ended; !errors.Is(err, client.ErrReplaced) {
		t.Errorf("ended with %v: two clients with one id would throw each other out for ever", err)
	}
}
