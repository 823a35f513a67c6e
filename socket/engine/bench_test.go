package engine_test

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func BenchmarkEcho(b *testing.B) {
	h := newHost()
	h.forgets = true
	r := start(b, quick(), h)
	c := connect(b, r.addr)
	if err := c.SetDeadline(time.Time{}); err != nil {
		b.Fatal(err)
	}
	message := frame(fin|text, strings.Repeat("x", 100))
	answer := make([]byte, 102)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(message); err != nil {
			b.Fatal(err)
		}
		for got := 0; got < len(answer); {
			n, err := c.in.Read(answer[got:])
			if err != nil {
				b.Fatal(err)
			}
			got += n
		}
	}
}

func BenchmarkHandshake(b *testing.B) {
	h := newHost()
	b.Cleanup(func() { close(h.sessions) }) // after the engine's end: cleanups run backwards
	r := start(b, quick(), h)
	go func() {
		for s := range h.sessions {
			<-s.closed
		}
	}()
	hello := []byte(request(connectLine))
	b.ReportAllocs()
	for b.Loop() {
		nc, err := net.Dial("tcp", r.addr)
		if err != nil {
			b.Fatal(err)
		}
		c := wrap(nc)
		c.send(b, hello)
		if answer, err := http.ReadResponse(c.in, nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
			b.Fatalf("%v, %v", answer, err)
		}
		if err := nc.(*net.TCPConn).SetLinger(0); err != nil { // a reset leaves no port waiting
			b.Fatal(err)
		}
		_ = nc.Close()
	}
}
