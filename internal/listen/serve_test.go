package listen_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/listen"
)

func serving() listen.Serving {
	return listen.Serving{
		Whom: "callers", ReadTimeout: time.Minute, StopTimeout: time.Minute, Logger: slog.New(slog.DiscardHandler),
	}
}

func local(t *testing.T) net.Listener {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func TestWhatWasAskedBeforeAStopIsStillAnswered(t *testing.T) {
	listener := local(t)
	ctx, stop := context.WithCancel(t.Context())
	asked, stopping := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-stopping
		_, _ = io.WriteString(w, "answer") // a caller that left is seen below
	})
	ended := make(chan error, 1)
	go func() { ended <- serving().Serve(ctx, listener, handler) }()
	go func() {
		<-asked
		stop()
		close(stopping)
	}()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("the stop cut a caller off: %v", err)
	}
	body, err := io.ReadAll(response.Body)
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	if err != nil || string(body) != "answer" {
		t.Errorf("a caller that had asked before the stop got %q, %v", body, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("an ordered stop is an error: %v", err)
	}
}

func TestAListenerThatFailsIsNamedWithItsCallers(t *testing.T) {
	listener := local(t)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	err := serving().Serve(t.Context(), listener, http.NotFoundHandler())
	if err == nil || !strings.Contains(err.Error(), "serve callers on 127.0.0.1:") {
		t.Errorf("the process goes on without its port: %v", err)
	}
}
