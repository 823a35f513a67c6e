package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/socket/client"
)

func TestAGapIsSaid(t *testing.T) {
	n := newNode(t)
	in := &inbox{more: make(chan struct{}, 16)}
	c, _ := start(t, n, in)
	v := n.next(t)
	v.send(welcome("r", false))
	v.send(message("m1", 10))
	in.wait(t, 1)
	v.close()
	v = n.next(t)
	v.send(welcome("r", false))
	v.send(message("m2", 20))
	in.wait(t, 1)
	if s := c.Stats(); s.Gaps != 1 || s.Losses != 1 || s.Connects != 2 {
		t.Errorf("stats are %+v: a gap went unsaid", s)
	}
}

func TestAfterAGapLowerOffsetsAreNewMessages(t *testing.T) {
	n := newNode(t)
	in := &inbox{more: make(chan struct{}, 16)}
	c, _ := start(t, n, in)
	v := n.next(t)
	v.send(welcome("r", false))
	v.send(message("m1", 100))
	in.wait(t, 1)
	v.close()
	v = n.next(t)
	v.send(welcome("r", false))
	v.send(message("m1", 50))
	v.send(message("m2", 51))
	if got := in.wait(t, 1); got[len(got)-1] != "m2" {
		t.Errorf("the app saw %v: after the log was cut, new messages are lost until it has grown again", got)
	}
	if s := c.Stats(); s.Duplicates != 0 || s.Gaps != 1 {
		t.Errorf("stats are %+v: what a node sends after it said resumed:false is no duplicate", s)
	}
}

func TestAClientThatWasToldWhenToReturnDoesNotComeEarlier(t *testing.T) {
	first := newNode(t)
	c, _ := start(t, first, &inbox{more: make(chan struct{}, 16)})
	v := first.next(t)
	v.send(welcome("r", false))
	const wait = 300 * time.Millisecond
	told := time.Now()
	v.send(protocol.Drain{Reason: "shutdown", Deadline: told, RetryAfter: wait})
	_ = v.conn.Close(websocket.StatusCode(protocol.CloseMoved), "shutdown")
	first.next(t)
	if came := time.Since(told); came < wait {
		t.Errorf("told %s, came back after %s: a whole node's clients would return as one storm", wait, came)
	}
	if s := c.Stats(); s.Losses != 1 {
		t.Errorf("stats are %+v", s)
	}
}

func TestReplacedByItsOwnMoveIsNoReasonToEnd(t *testing.T) {
	first, second := newNode(t), newNode(t)
	c, ended := start(t, first, &inbox{more: make(chan struct{}, 16)})
	old := first.next(t)
	old.send(welcome("r", false))
	old.send(protocol.Drain{URL: second.url(), Reason: "test", Deadline: time.Now()})
	fresh := second.next(t)
	_ = old.conn.Close(websocket.StatusCode(protocol.CloseReplaced), "the client has connected anew")
	fresh.send(welcome("r2", true))
	result := make(chan error, 1)
	if err := c.Send("bob", "a", json.RawMessage(`{}`), func(err error) { result <- err }); err != nil {
		t.Fatal(err)
	}
	if f, ok := fresh.receive().(protocol.Send); !ok || f.ID != "a" {
		t.Fatalf("the new connection got %+v", f)
	}
	fresh.send(protocol.Accepted{ID: "a"})
	if err := <-result; err != nil {
		t.Errorf("the message after the move: %v", err)
	}
	select {
	case err := <-ended:
		t.Errorf("the client ended with %v because of its own move", err)
	default:
	}
}

func TestAMessageCanBeAnsweredInsideTheCallback(t *testing.T) {
	n := newNode(t)
	answered := make(chan error, 1)
	var c *client.Client
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c = client.New(client.Options{
		Client:  "ann",
		Resolve: func(context.Context, string, string) (client.Place, error) { return client.Place{URL: n.url()}, nil },
		HTTP:    &http.Client{Transport: transport},
		OnMessage: func(m client.Message) {
			if err := c.Send(m.From, "re-"+m.ID, json.RawMessage(`1`), func(err error) { answered <- err }); err != nil {
				answered <- err
			}
		},
		MaxWaiting: 1,
	})
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	v := n.next(t)
	v.send(welcome("r", false))
	v.send(message("m1", 1))
	if f, ok := v.receive().(protocol.Send); !ok || f.ID != "re-m1" {
		t.Fatalf("node got %+v: a reply from the handler blocks the client", f)
	}
	if err := c.Send("bob", "x", json.RawMessage(`1`), nil); !errors.Is(err, client.ErrFull) {
		t.Errorf("a message over the bound gives %v: want ErrFull", err)
	}
	v.send(protocol.Accepted{ID: "re-m1"})
	if err := <-answered; err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if err := c.Send("bob", "y", json.RawMessage(`1`), nil); !errors.Is(err, client.ErrClosed) {
		t.Errorf("a message after the end gives %v: want ErrClosed", err)
	}
}
