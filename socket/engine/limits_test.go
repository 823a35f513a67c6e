package engine_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tidegate/tidegate/socket/engine"
)

func TestOverALimitClientsAreToldWhenToComeBack(t *testing.T) {
	full, fast := quick(), quick()
	full.MaxConnections, full.RetryAfter = 1, 10*time.Second
	fast.HandshakeRate, fast.HandshakeBurst, fast.RetryAfter = 0.001, 1, 10*time.Second
	for name, o := range map[string]engine.Options{"the node is full": full, "handshakes come too fast": fast} {
		t.Run(name, func(t *testing.T) {
			h := newHost()
			r := start(t, o, h)
			healthy := neighbour(t, r.addr)
			waits := map[string]bool{}
			for range 30 {
				c := dial(t, r.addr)
				c.send(t, []byte(request(connectLine)))
				answer, err := http.ReadResponse(c.in, nil)
				if err != nil || answer.StatusCode != http.StatusServiceUnavailable {
					t.Fatalf("%v, %v; want 503", answer, err)
				}
				wait := answer.Header.Get("Retry-After")
				if seconds, err := strconv.Atoi(wait); err != nil || seconds < 10 || seconds > 20 {
					t.Errorf("Retry-After is %q, want 10 to 20 seconds", wait)
				}
				waits[wait] = true
				_ = c.Close()
			}
			if len(waits) < 2 {
				t.Error("everybody was told the same wait: they all come back at once")
			}
			if refused := h.refusals(); len(refused) != 30 || refused[0] != 503 {
				t.Errorf("the observer heard of %v: refused clients would not count as demand", refused)
			}
			healthy(t)
		})
	}
}

func TestAPlaceIsFreeAgainAfterARefusalAndAfterAnEnd(t *testing.T) {
	o := quick()
	o.MaxConnections = 1
	h := newHost()
	refuse := true
	h.admit = func(*http.Request) (any, *engine.Refusal) {
		if refuse {
			return nil, &engine.Refusal{Status: 401, RetryAfter: 1500 * time.Millisecond, Message: "no"}
		}
		return nil, nil
	}
	r := start(t, o, h)
	for range 3 {
		c := dial(t, r.addr)
		c.send(t, []byte(request(connectLine)))
		if answer, err := http.ReadResponse(c.in, nil); err != nil || answer.StatusCode != http.StatusUnauthorized || answer.Header.Get("Retry-After") != "2" {
			t.Fatalf("%+v, %v", answer, err)
		}
		_ = c.Close()
	}
	if len(h.refusals()) != 0 {
		t.Error("the observer heard of the handler's own refusals: they would count twice")
	}
	refuse = false
	for range 3 {
		c := websocketDial(t, r.addr)
		s := <-r.sessions
		if n := r.Connections(); n != 1 {
			t.Errorf("%d connections are counted, want 1", n)
		}
		if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Fatal(err)
		}
		closedWith(t, s)
		poll(t, "the place is free", func() bool { return r.Connections() == 0 })
	}
}

// poll waits until a condition holds.
func poll(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(15 * time.Second); !holds(); {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("never: %s", what)
		}
	}
}

func TestTooManyHandshakesAtOnceAreTurnedAway(t *testing.T) {
	o := quick()
	o.MaxHandshakes = 2
	r := start(t, o, newHost())
	first, second := dial(t, r.addr), dial(t, r.addr)
	first.send(t, []byte("G"))
	second.send(t, []byte("G"))
	third := dial(t, r.addr)
	if answer, err := http.ReadResponse(third.in, nil); err != nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("%v, %v; want 503", answer, err)
	}
	_ = first.Close()
	_ = second.Close()
	poll(t, "a place for a handshake", func() bool {
		c := dial(t, r.addr)
		defer func() { _ = c.Close() }()
		if _, err := c.Write([]byte(request(connectLine))); err != nil {
			return false
		}
		answer, err := http.ReadResponse(c.in, nil)
		return err == nil && answer.StatusCode == http.StatusSwitchingProtocols
	})
}

func TestServeReportsAListenerThatFailsAndServesNothingAfterShutdown(t *testing.T) {
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	r := start(t, quick(), newHost())
	failed := listen()
	_ = failed.Close()
	if err := r.Serve(failed); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a listener that somebody else closed gave %v", err)
	}
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	late := listen()
	if err := r.Serve(late); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", late.Addr().String()); err == nil {
		t.Error("the listener stays open after the engine has ended: clients would hang")
	}
}
