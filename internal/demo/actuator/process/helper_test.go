package process_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/internal/demo/actuator/process"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
)

// How a test's child is told what to be.
const (
	envKind  = "TIDEGATE_PROCESS_TEST_KIND"
	envAdmin = "TIDEGATE_PROCESS_TEST_ADMIN"
	envNonce = "TIDEGATE_PROCESS_TEST_NONCE"
	envDir   = "TIDEGATE_PROCESS_TEST_DIR"
)

// patience is how long a test waits for what must happen; reaching it is a failure, never a pass.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if kind := os.Getenv(envKind); kind != "" {
		os.Exit(child(kind))
	}
	goleak.VerifyTestMain(m)
}

// child is what the test binary does when it runs as a node.
func child(kind string) int {
	_, _ = fmt.Fprintln(os.Stdout, "a child of kind", kind)
	switch kind {
	case "dies":
		return 7
	case "parent":
		return parent()
	case "heir":
		return heir()
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+keys.PathReady, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET "+keys.PathDrain, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get(keys.HeaderNonce) != os.Getenv(envNonce):
			http.Error(w, "a stranger's nonce", http.StatusForbidden)
		case kind == "endless":
			<-r.Context().Done()
		case kind == "dies-draining":
			os.Exit(3)
		default:
			_, _ = fmt.Fprintln(os.Stdout, "drained")
		}
	})
	go func() {
		_ = http.ListenAndServe(os.Getenv(envAdmin), mux)
		os.Exit(4)
	}()
	<-terminated
	if kind == "stubborn" {
		<-make(chan struct{})
	}
	_, _ = fmt.Fprintln(os.Stdout, "terminated")
	return 0
}

// fixture runs children of a kind.
type fixture struct {
	*process.Nodes
	dir string
}

func newFixture(t *testing.T, kind string, change func(*process.Config)) fixture {
	t.Helper()
	c := process.Config{
		Prefix: "node", LogDir: t.TempDir(), Grace: 20 * time.Second, Probe: 20 * time.Millisecond,
		Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Command: func(_ fleet.NodeID, nonce string) (process.Launch, error) {
			address := freeAddress(t)
			return process.Launch{
				Args: []string{"-test.run=^$"}, Admin: "http://" + address + "/",
				Env: []string{envKind + "=" + kind, envAdmin + "=" + address, envNonce + "=" + nonce},
			}, nil
		},
	}
	if change != nil {
		change(&c)
	}
	nodes, err := process.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = nodes.Stop(ctx)
	})
	return fixture{nodes, c.LogDir}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// start begins a node; when it must become ready, it waits for that.
func (f fixture) start(t *testing.T, ready bool) fleet.NodeID {
	t.Helper()
	id, err := f.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if ready {
		f.wait(t, "the node becomes ready", func() bool {
			for _, node := range f.Running() {
				if node.ID == id {
					return node.Ready
				}
			}
			return false
		})
	}
	return id
}

// wait waits for changes of the nodes until a condition holds.
func (f fixture) wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		changed := f.Changed()
		if holds() {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("it never came that %s; running: %v, exits: %+v", what, f.Running(), f.Exits())
		case <-changed:
		}
	}
}

func (f fixture) exit(t *testing.T, id fleet.NodeID) process.Exit {
	t.Helper()
	for _, e := range f.Exits() {
		if e.ID == id {
			return e
		}
	}
	t.Fatalf("no exit of %s is noted: %+v", id, f.Exits())
	return process.Exit{}
}

func (f fixture) log(t *testing.T, id fleet.NodeID) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, string(id)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
