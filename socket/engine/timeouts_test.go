package engine_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/socket/engine"
)

func TestASlowHandshakeEndsAtItsDeadline(t *testing.T) {
	inBubble(t, func(*engine.Options) {}, func(b bubble) {
		t, h, p := b.T, b.host, b.pipes
		began := time.Now()
		c := wrap(p.dial())
		drip := make(chan struct{})
		go func() {
			defer close(drip)
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for _, b := range []byte(request(connectLine)) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				<-tick.C
			}
		}()
		answer, err := http.ReadResponse(c.in, nil)
		if err != nil || answer.StatusCode != http.StatusRequestTimeout {
			t.Fatalf("%v, %v; want 408", answer, err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("a client of one byte a second held its place for %v, want 5s", took)
		}
		_ = c.Close()
		<-drip
		if got := h.refusals(); len(got) != 1 || got[0] != 408 {
			t.Errorf("refusals %v", got)
		}
	})
}

func TestASlowMessageEndsAtItsDeadline(t *testing.T) {
	for name, piece := range map[string]func(i int) []byte{
		"one byte a second of a frame":           func(i int) []byte { return []byte{'x' ^ key[i%4]} },
		"one fragment a second of a message":     func(int) []byte { return frame(cont, "x") },
		"fragments and pings, and never the end": func(int) []byte { return join(frame(cont, ""), frame(fin|ping, "")) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(*engine.Options) {}, func(b bubble) {
				t, h, p := b.T, b.host, b.pipes
				c := shakePipe(t, p)
				s := <-h.sessions
				began := time.Now()
				dripped := make(chan struct{})
				go func() {
					defer close(dripped)
					tick := time.NewTicker(time.Second)
					defer tick.Stop()
					first := frame(text, "")
					if strings.HasPrefix(name, "one byte") {
						first = claim(fin|text, 1000)
					}
					_, err := c.Write(first)
					for i := 0; err == nil; i++ {
						<-tick.C
						_, err = c.Write(piece(i))
					}
				}()
				events := c.events(t)
				if last := events[len(events)-1]; last != "close:1008" {
					t.Errorf("the client saw %q, want 1008", events)
				}
				if took := time.Since(began); took != 30*time.Second {
					t.Errorf("an endless message held its connection for %v, want 30s", took)
				}
				_ = c.Close()
				<-dripped
				if e := closedWith(t, s); e.code != protocol.ClosePolicy || e.cause == nil {
					t.Errorf("the receiver was told %d, %v", e.code, e.cause)
				}
			})
		})
	}
}

func TestASilentClientIsPingedAndThenGivenUp(t *testing.T) {
	inBubble(t, func(*engine.Options) {}, func(b bubble) {
		t, h, p := b.T, b.host, b.pipes
		c := shakePipe(t, p)
		s := <-h.sessions
		began := time.Now()
		for round := 1; round <= 3; round++ { // it answers: it stays
			if event, err := c.event(); err != nil || event != "ping:" {
				t.Fatalf("%q, %v; want a ping", event, err)
			}
			if got := time.Since(began); got != time.Duration(round)*30*time.Second {
				t.Errorf("ping %d came after %v", round, got)
			}
			c.send(t, frame(fin|pong, ""))
		}
		if event, err := c.event(); err != nil || event != "ping:" { // this one it does not answer
			t.Fatalf("%q, %v; want a ping", event, err)
		}
		if got := c.events(t); got[len(got)-1] != "close:1013" {
			t.Errorf("a dead client saw %q", got)
		}
		if took := time.Since(began); took != (4*30+15)*time.Second {
			t.Errorf("a dead client was kept for %v, want 135s", took)
		}
		_ = c.Close()
		if e := closedWith(t, s); e.code != protocol.CloseOverload || e.cause == nil {
			t.Errorf("the receiver was told %d, %v", e.code, e.cause)
		}
	})
}

func TestABusyClientIsNeverPinged(t *testing.T) {
	inBubble(t, func(*engine.Options) {}, func(b bubble) {
		t, p := b.T, b.pipes
		c := shakePipe(t, p)
		tick := time.NewTicker(20 * time.Second)
		defer tick.Stop()
		for range 30 {
			c.send(t, frame(fin|text, "x"))
			if event, err := c.event(); err != nil || event != "text:x" {
				t.Fatalf("%q, %v", event, err)
			}
			<-tick.C
		}
		_ = c.Close()
	})
}
