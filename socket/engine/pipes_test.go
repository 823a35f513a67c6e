package engine_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"

	"github.com/tidegate/tidegate/socket/engine"
)

// pipes is a listener of connections in memory, whose clock a synctest bubble owns.
type pipes struct {
	dialed chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{dialed: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.dialed:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.dialed <- server
	return client
}

// bubble is an engine whose clock jumps as soon as everybody waits.
type bubble struct {
	*testing.T
	host   *host
	engine engine.Engine
	pipes  *pipes
}

// inBubble runs a test of waits on a clock that jumps.
func inBubble(t *testing.T, change func(o *engine.Options), test func(b bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := engine.Default()
		change(&o)
		h, p := newHost(), newPipes()
		e := engine.New(o, h, slog.New(slog.DiscardHandler))
		served := make(chan error, 1)
		go func() { served <- e.Serve(p) }()
		defer func() {
			if err := e.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
		}()
		test(bubble{t, h, e, p})
	})
}

func shakePipe(t *testing.T, p *pipes) *raw {
	t.Helper()
	c := wrap(p.dial())
	c.shake(t)
	return c
}
