package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/socket/engine"
)

func TestCloseFlushesWhatIsQueuedAndTheFirstCodeWins(t *testing.T) {
	inBubble(t, func(*engine.Options) {}, func(b bubble) {
		t, h, p := b.T, b.host, b.pipes
		c := shakePipe(t, p)
		s := <-h.sessions
		for i := range 5 {
			s.conn.Send(fmt.Append(nil, i))
		}
		s.conn.Close(protocol.CloseMoved, strings.Repeat("ä", 100))
		s.conn.Close(protocol.CloseReplaced, "second")
		if s.conn.Send([]byte("late")) {
			t.Error("a frame was taken after Close: it would be lost unseen")
		}
		c.send(t, frame(fin|text, "too late"))
		for i := range 5 {
			if event, err := c.event(); err != nil || event != fmt.Sprint("text:", i) {
				t.Fatalf("%q, %v", event, err)
			}
		}
		event, err := c.event()
		if err != nil || event != "close:1012:"+strings.Repeat("ä", 61) {
			t.Fatalf("%q, %v: the reason must be cut at a character", event, err)
		}
		began := time.Now()
		if e := closedWith(t, s); e.code != protocol.CloseMoved || e.cause != nil || time.Since(began) != 2*time.Second {
			t.Errorf("a client that never answers the close ended with %d, %v after %v", e.code, e.cause, time.Since(began))
		}
		if got := s.got(); len(got) != 0 {
			t.Errorf("the receiver got %q after it had closed", got)
		}
		_ = c.Close()
	})
}

func TestACloseThatIsAnsweredEndsAtOnce(t *testing.T) {
	inBubble(t, func(*engine.Options) {}, func(b bubble) {
		t, h, p := b.T, b.host, b.pipes
		c := shakePipe(t, p)
		s := <-h.sessions
		began := time.Now()
		s.conn.Close(protocol.CloseReplaced, "")
		if event, err := c.event(); err != nil || event != "close:4001:" {
			t.Fatalf("%q, %v", event, err)
		}
		c.send(t, closeFrame(4001, ""))
		if e := closedWith(t, s); e.code != protocol.CloseReplaced || e.cause != nil || time.Since(began) != 0 {
			t.Errorf("it ended with %d, %v after %v", e.code, e.cause, time.Since(began))
		}
		if _, err := c.event(); !errors.Is(err, io.EOF) {
			t.Errorf("the server keeps the connection: %v", err)
		}
		_ = c.Close()
	})
}

func TestShutdownTellsEveryClientAndEndsWithItsContext(t *testing.T) {
	inBubble(t, func(*engine.Options) {}, func(b bubble) {
		t, h, e, p := b.T, b.host, b.engine, b.pipes
		polite, stuck := shakePipe(t, p), shakePipe(t, p)
		waiting := wrap(p.dial()) // in its handshake
		synctest.Wait()
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		ended := make(chan error, 1)
		began := time.Now()
		go func() { ended <- e.Shutdown(ctx) }()
		if event, err := polite.event(); err != nil || event != "close:1012:the node is closing" {
			t.Errorf("a client saw %q, %v; want 1012", event, err)
		}
		polite.send(t, closeFrame(1012, ""))
		if answer, err := http.ReadResponse(waiting.in, nil); err != nil || answer.StatusCode != http.StatusRequestTimeout {
			t.Errorf("a client in its handshake saw %v, %v", answer, err)
		}
		_ = waiting.Close()
		err := <-ended // nobody reads at the stuck client's end
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 connections were cut") || time.Since(began) != time.Second {
			t.Errorf("Shutdown gave %v after %v", err, time.Since(began))
		}
		for range 2 {
			if e := closedWith(t, <-h.sessions); e.code != protocol.CloseMoved {
				t.Errorf("a receiver was told %d", e.code)
			}
		}
		_, _ = polite.Close(), stuck.Close()
	})
}

func TestAClientThatGoesDuringItsHandshakeStillGetsItsOpenAndItsEnd(t *testing.T) {
	inBubble(t, func(*engine.Options) {}, func(b bubble) {
		t, h, p := b.T, b.host, b.pipes
		admitted := make(chan struct{})
		leave := make(chan struct{})
		h.admit = func(*http.Request) (any, *engine.Refusal) {
			close(admitted)
			<-leave
			return "ticket", nil
		}
		c := wrap(p.dial())
		c.send(t, []byte(request(connectLine)))
		<-admitted
		_ = c.Close()
		close(leave)
		if e := closedWith(t, <-h.sessions); e.code != 1006 || e.cause == nil {
			t.Errorf("it ended with %d, %v", e.code, e.cause)
		}
	})
}

func TestAShutdownDuringAHandshakeClosesTheNewConnection(t *testing.T) {
	inBubble(t, func(*engine.Options) {}, func(b bubble) {
		t, h, e, p := b.T, b.host, b.engine, b.pipes
		admitted, leave := make(chan struct{}), make(chan struct{})
		h.admit = func(*http.Request) (any, *engine.Refusal) {
			close(admitted)
			<-leave
			return "ticket", nil
		}
		c := wrap(p.dial())
		c.send(t, []byte(request(connectLine)))
		<-admitted
		ended := make(chan error, 1)
		go func() { ended <- e.Shutdown(context.Background()) }()
		synctest.Wait()
		close(leave)
		if answer, err := http.ReadResponse(c.in, nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v, %v", answer, err)
		}
		if event, err := c.event(); err != nil || !strings.HasPrefix(event, "close:1012") {
			t.Errorf("%q, %v: a client would stay on a node that has ended", event, err)
		}
		_ = c.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// failing is a listener whose first accepts fail.
type failing struct {
	*pipes
	left int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left--; f.left >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept", tooManyError{})}
	}
	return f.pipes.Accept()
}

type tooManyError struct{}

func (tooManyError) Error() string   { return "too many open files" }
func (tooManyError) Timeout() bool   { return false }
func (tooManyError) Temporary() bool { return true }

func TestRunningOutOfFilesDoesNotEndTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, p := newHost(), newPipes()
		e := engine.New(engine.Default(), h, slog.New(slog.DiscardHandler))
		served := make(chan error, 1)
		go func() { served <- e.Serve(&failing{pipes: p, left: 20}) }()
		c := shakePipe(t, p)
		_ = c.Close()
		closedWith(t, <-h.sessions)
		if err := e.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}
