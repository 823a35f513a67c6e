package actuator_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/internal/demo/actuator"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/hpa"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen; reaching it is a failure, never a pass.
const patience = 15 * time.Second

// scaler is a fake external scaler whose answer a test sets.
type scaler struct {
	pb.UnimplementedExternalScalerServer
	mu       sync.Mutex
	count    int
	sequence int
	failures int // how many of the next GetMetrics calls fail
	polls    int
	changed  chan struct{}
	noStream bool
	// brittle streams end at each decision, so that only one opened anew tells it.
	brittle bool
}

func newScaler(count int) *scaler { return &scaler{count: count, changed: make(chan struct{})} }

// decide changes the answer, pushing it when push is set.
func (s *scaler) decide(count int, push bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count = count
	if push {
		s.sequence++
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

func (s *scaler) fail(times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = times
}

func (s *scaler) polled() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polls
}

func (s *scaler) spec() (*pb.GetMetricSpecResponse, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	target := 1 + 0.001*float64(s.sequence%2)
	return &pb.GetMetricSpecResponse{MetricSpecs: []*pb.MetricSpec{{MetricName: "m", TargetSize: 1, TargetSizeFloat: target}}}, s.changed
}

// GetMetricSpec answers the target.
func (s *scaler) GetMetricSpec(context.Context, *pb.ScaledObjectRef) (*pb.GetMetricSpecResponse, error) {
	spec, _ := s.spec()
	return spec, nil
}

// GetMetrics answers the count or fails as asked.
func (s *scaler) GetMetrics(_ context.Context, r *pb.GetMetricsRequest) (*pb.GetMetricsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.polls++
	if s.failures > 0 {
		s.failures--
		return nil, status.Error(codes.Unavailable, "no decision")
	}
	return &pb.GetMetricsResponse{MetricValues: []*pb.MetricValue{{MetricName: r.GetMetricName(), MetricValueFloat: float64(s.count)}}}, nil
}

// IsActive is always true.
func (s *scaler) IsActive(context.Context, *pb.ScaledObjectRef) (*pb.IsActiveResponse, error) {
	return &pb.IsActiveResponse{Result: true}, nil
}

// StreamMetricSpec pushes each decision that asks for it.
func (s *scaler) StreamMetricSpec(_ *pb.ScaledObjectRef, stream grpc.ServerStreamingServer[pb.GetMetricSpecResponse]) error {
	if s.noStream {
		return status.Error(codes.Unimplemented, "no stream")
	}
	for {
		spec, changed := s.spec()
		if err := stream.Send(spec); err != nil {
			return err
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-changed:
			if s.brittle {
				return nil
			}
		}
	}
}

// serve puts the scaler on loopback and connects to it.
func (s *scaler) serve(t *testing.T) pb.ExternalScalerClient {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterExternalScalerServer(server, s)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		serving.Wait()
	})
	return pb.NewExternalScalerClient(conn)
}

// rack is a fake Nodes in memory.
type rack struct {
	mu      sync.Mutex
	count   int
	nodes   map[fleet.NodeID]actuator.NodeHandle
	changed chan struct{}
	removed []fleet.NodeID
	started int
	// stillborn nodes die at once; broken refuses to start any.
	stillborn, broken bool
	// hold keeps removals open until it is closed or their context ends.
	hold chan struct{}
}

func newRack() *rack {
	return &rack{nodes: map[fleet.NodeID]actuator.NodeHandle{}, changed: make(chan struct{})}
}

func (r *rack) change() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// Start adds a node that is ready at once.
func (r *rack) Start(context.Context) (fleet.NodeID, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started++
	if r.broken {
		return "", fmt.Errorf("no room for node %d", r.started)
	}
	r.count++
	id := fleet.NodeID(fmt.Sprintf("node-%d", r.count))
	if !r.stillborn {
		r.nodes[id] = actuator.NodeHandle{ID: id, StartedAt: time.Unix(int64(r.count), 0), Ready: true}
	}
	r.change()
	return id, nil
}

// Running lists the nodes.
func (r *rack) Running() []actuator.NodeHandle {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []actuator.NodeHandle
	for _, node := range r.nodes {
		out = append(out, node)
	}
	return out
}

// Changed is closed at the next change.
func (r *rack) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// Remove takes a node away, when it may.
func (r *rack) Remove(ctx context.Context, id fleet.NodeID) error {
	if r.hold != nil {
		select {
		case <-r.hold:
		case <-ctx.Done():
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.nodes[id]; !ok {
		return fmt.Errorf("node %s is not there", id)
	}
	delete(r.nodes, id)
	r.removed = append(r.removed, id)
	r.change()
	return nil
}

// crash ends a node by itself.
func (r *rack) crash(id fleet.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.nodes, id)
	r.change()
}

func (r *rack) ids() map[fleet.NodeID]bool {
	out := map[fleet.NodeID]bool{}
	for _, node := range r.Running() {
		out[node.ID] = true
	}
	return out
}

// list is a Victims that answers the same for ever.
type list struct {
	ids []fleet.NodeID
	err error
}

// Victims answers the list.
func (l list) Victims(context.Context, int) ([]fleet.NodeID, error) { return l.ids, l.err }

// config is an actuator over fakes, polled so rarely that only pushes move it.
func config(c pb.ExternalScalerClient, nodes actuator.Nodes, v actuator.Victims) actuator.Config {
	return actuator.Config{
		Scaler: c, Object: &pb.ScaledObjectRef{Namespace: "demo", Name: "chat"}, HPA: hpa.Shipped(2, 20), Replicas: 2,
		Nodes: nodes, Victims: v, Sync: time.Hour, PushRetry: 10 * time.Millisecond,
		Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
}

// run starts an actuator and returns a stop that waits for it.
func run(t *testing.T, c actuator.Config) (a *actuator.Actuator, stop func()) {
	t.Helper()
	a, err := actuator.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the actuator ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return a, stop
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("it never came that %s", what)
		case <-tick.C:
		}
	}
}
