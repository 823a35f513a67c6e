package externalscaler_test

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tidegate/tidegate/externalscaler"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serverTime is far from any local clock, so that a test fails when the local clock is asked.
var serverTime = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)

var chat = fleet.ID{Namespace: "shop", Name: "chat"}

// book is a Decisions in memory.
type book struct {
	mu      sync.Mutex
	now     time.Time
	entries map[fleet.ID]decision.Decision
	changed map[fleet.ID]chan struct{}
	panics  bool
}

func newBook(ds ...decision.Decision) *book {
	b := &book{now: serverTime, entries: map[fleet.ID]decision.Decision{}, changed: map[fleet.ID]chan struct{}{}}
	for _, d := range ds {
		b.entries[d.Fleet] = d
	}
	return b
}

// Latest returns what was put.
func (b *book) Latest(id fleet.ID) (decision.Decision, time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.panics {
		panic("the book burns")
	}
	d, ok := b.entries[id]
	return d, b.now, ok
}

// Changed is closed at the next put.
func (b *book) Changed(id fleet.ID) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed[id] == nil {
		b.changed[id] = make(chan struct{})
	}
	return b.changed[id]
}

func (b *book) put(d decision.Decision) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries[d.Fleet] = d
	if ch := b.changed[d.Fleet]; ch != nil {
		close(ch)
		delete(b.changed, d.Fleet)
	}
}

func (b *book) at(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = now
}

// burn makes every reading panic.
func (b *book) burn(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.panics = on
}

// decided is a fresh decision for the chat fleet.
func decided(sequence uint64, desired int) decision.Decision {
	return decision.Decision{
		Fleet: chat, Sequence: sequence, Desired: desired, Mode: "act", Policy: "count",
		At: serverTime, RefreshedAt: serverTime, ExpiresAt: serverTime.Add(90 * time.Second),
	}
}

// options are those of a test's server.
func options() externalscaler.Options {
	o := externalscaler.DefaultOptions()
	o.Listen, o.AdminListen = "127.0.0.1:0", ""
	return o
}

// started serves a scaler over loopback and returns its address and a stop that waits for Serve.
func started(tb testing.TB, server *externalscaler.Server, o externalscaler.Options) (address string, stop func() error) {
	tb.Helper()
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", o.Listen)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener, o) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	tb.Cleanup(func() {
		if err := stop(); err != nil {
			tb.Errorf("the server stopped with an error: %v", err)
		}
	})
	return listener.Addr().String(), stop
}

// dial connects to a scaler as KEDA does; without TLS material the connection is plain.
func dial(tb testing.TB, address string, creds credentials.TransportCredentials) *grpc.ClientConn {
	tb.Helper()
	if creds == nil {
		creds = insecure.NewCredentials()
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds), grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin":{}}]}`))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// client serves a book and connects to it.
func client(tb testing.TB, b *book, opts ...externalscaler.Option) pb.ExternalScalerClient {
	tb.Helper()
	address, _ := started(tb, externalscaler.New(b, quiet(), opts...), options())
	return pb.NewExternalScalerClient(dial(tb, address, nil))
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// ref is the reference KEDA sends for the ScaledObject "chat", with pairs of metadata.
func ref(pairs ...string) *pb.ScaledObjectRef {
	metadata := map[string]string{"scalerAddress": "tidegate-scaler.tidegate:6000"}
	for i := 0; i+1 < len(pairs); i += 2 {
		metadata[pairs[i]] = pairs[i+1]
	}
	return &pb.ScaledObjectRef{Namespace: chat.Namespace, Name: chat.Name, ScalerMetadata: metadata}
}

func ask(r *pb.ScaledObjectRef) *pb.GetMetricsRequest {
	return &pb.GetMetricsRequest{ScaledObjectRef: r}
}
