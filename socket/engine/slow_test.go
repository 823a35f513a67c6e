package engine_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/socket/engine"
)

func TestAClientThatDoesNotReadIsClosedWithinItsBounds(t *testing.T) {
	inBubble(t, func(o *engine.Options) { o.QueueBytes = 200_000 }, func(b bubble) {
		t, h, p := b.T, b.host, b.pipes
		c := shakePipe(t, p)
		s := <-h.sessions
		began := time.Now()
		sent := 0
		for payload := []byte(strings.Repeat("m", 1000)); s.conn.Send(payload); sent++ {
			if queued := s.conn.Queued(); queued > 200_000 {
				t.Fatalf("%d bytes are queued: one client that does not read can fill the memory", queued)
			}
		}
		if sent < 190 || sent > 200 {
			t.Errorf("%d frames of 1,000 bytes fitted into 200,000 bytes", sent)
		}
		if s.conn.Send([]byte("late")) {
			t.Error("a frame was taken after the connection was given up: it would be lost unseen")
		}
		e := closedWith(t, s)
		if e.code != protocol.CloseOverload || e.cause == nil || time.Since(began) > 12*time.Second {
			t.Errorf("it ended with %d, %v after %v", e.code, e.cause, time.Since(began))
		}
		_ = c.Close()
	})
}

func TestTheNumberOfQueuedFramesIsBoundedToo(t *testing.T) {
	inBubble(t, func(o *engine.Options) { o.QueueFrames = 16 }, func(b bubble) {
		t, h, p := b.T, b.host, b.pipes
		c := shakePipe(t, p)
		s := <-h.sessions
		sent := 0
		for s.conn.Send(nil) {
			sent++
			synctest.Wait()
		}
		if sent > 2*16 {
			t.Errorf("%d empty frames were queued over a bound of 16", sent)
		}
		if e := closedWith(t, s); e.code != protocol.CloseOverload {
			t.Errorf("it ended with %d", e.code)
		}
		_ = c.Close()
	})
}

func TestAStalledWriteEndsTheConnection(t *testing.T) {
	inBubble(t, func(*engine.Options) {}, func(b bubble) {
		t, h, p := b.T, b.host, b.pipes
		c := shakePipe(t, p)
		s := <-h.sessions
		began := time.Now()
		s.conn.Send([]byte("nobody reads this"))
		if e := closedWith(t, s); e.code != protocol.CloseOverload || e.cause == nil || time.Since(began) != 10*time.Second {
			t.Errorf("it ended with %d, %v after %v: want 1013 after 10s", e.code, e.cause, time.Since(began))
		}
		_ = c.Close()
	})
}

func TestASlowClientThatStillReadsKeepsItsConnection(t *testing.T) {
	inBubble(t, func(*engine.Options) {}, func(b bubble) {
		t, h, p := b.T, b.host, b.pipes
		c := shakePipe(t, p)
		s := <-h.sessions
		big := strings.Repeat("b", 60_000)
		for range 8 {
			s.conn.Send([]byte(big))
		}
		synctest.Wait()
		tick := time.NewTicker(4 * time.Second) // more than the write timeout in all, less for each piece
		defer tick.Stop()
		for i := range 8 {
			if event, err := c.event(); err != nil || event != "text:"+big {
				t.Fatalf("frame %d: %.20q, %v", i, event, err)
			}
			<-tick.C
		}
		_ = c.Close()
	})
}

func TestPingsWithoutReadingQueueNoEndlessPongs(t *testing.T) {
	inBubble(t, func(*engine.Options) {}, func(b bubble) {
		t, h, p := b.T, b.host, b.pipes
		c := shakePipe(t, p)
		s := <-h.sessions
		for range 500 {
			c.send(t, frame(fin|ping, strings.Repeat("p", 125)))
		}
		synctest.Wait()
		if queued := s.conn.Queued(); queued > 40*127 {
			t.Errorf("%d bytes of pongs wait: pings are a way to fill the memory", queued)
		}
		_ = c.Close()
	})
}

func TestTheTimeToTheWriteCountsTheWaitInTheQueue(t *testing.T) {
	inBubble(t, func(*engine.Options) {}, func(b bubble) {
		t, h, p := b.T, b.host, b.pipes
		c := shakePipe(t, p)
		s := <-h.sessions
		fetched := time.Now()
		s.conn.SendSince([]byte("first"), fetched)
		synctest.Wait()
		s.conn.Send([]byte("not asked about"))
		s.conn.SendSince([]byte("second"), fetched)
		for i, wait := range []time.Duration{2 * time.Second, 3 * time.Second, 0} {
			<-time.After(wait)
			if event, err := c.event(); err != nil || !strings.HasPrefix(event, "text:") {
				t.Fatalf("frame %d: %q, %v", i, event, err)
			}
		}
		synctest.Wait()
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.written) != 2 || h.written[0] != 2*time.Second || h.written[1] != 5*time.Second {
			t.Errorf("written after %v, want 2s and 5s: a slow client would look fast", h.written)
		}
		_ = c.Close()
	})
}
