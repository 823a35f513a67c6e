package externalscaler_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/tidegate/tidegate/externalscaler"
	"github.com/tidegate/tidegate/internal/keys"
)

// spec is what a metric spec tells.
type spec struct {
	name   string
	target float64
}

func told(r *pb.GetMetricSpecResponse) spec {
	return spec{r.MetricSpecs[0].MetricName, r.MetricSpecs[0].TargetSizeFloat}
}

// next receives one spec; the test's own deadline bounds the wait.
func next(t *testing.T, stream pb.ExternalScaler_StreamMetricSpecClient) spec {
	t.Helper()
	r, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return told(r)
}

func TestStreamMetricSpecPushesOncePerSequence(t *testing.T) {
	b := newBook()
	c := client(t, b)
	stream, err := c.StreamMetricSpec(t.Context(), ref())
	if err != nil {
		t.Fatal(err)
	}
	if got := next(t, stream); got != (spec{keys.ScalerMetric, 1}) {
		t.Fatalf("the first spec, before any decision, is %+v", got)
	}
	// Each decision is confirmed several times, as the leader does each second; only its sequence may push.
	for sequence := uint64(1); sequence <= 6; sequence++ {
		for confirmation := range 4 {
			d := decided(sequence, 4)
			d.RefreshedAt = serverTime.Add(time.Duration(confirmation) * time.Second)
			b.put(d)
		}
		want := spec{keys.ScalerMetric, 1 + 0.001*float64(sequence%2)}
		if got := next(t, stream); got != want {
			t.Fatalf("after decision %d came %+v, want %+v: one push was lost or one too many was sent", sequence, got, want)
		}
	}
}

func TestStreamMetricSpecFollowsASequenceThatGoesBack(t *testing.T) {
	b := newBook(decided(41, 4))
	c := client(t, b)
	stream, err := c.StreamMetricSpec(t.Context(), ref())
	if err != nil {
		t.Fatal(err)
	}
	first := next(t, stream)
	b.put(decided(2, 5))
	if second := next(t, stream); second == first {
		t.Errorf("after a Redis that lost its data the stream still says %+v", second)
	}
}

func TestStreamMetricSpecServesAnyMetadata(t *testing.T) {
	c := client(t, newBook(decided(3, 4)))
	for _, r := range []*pb.ScaledObjectRef{nil, {}, ref("minReplicas", "many"), ref("fleet", "No Such")} {
		stream, err := c.StreamMetricSpec(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if got := next(t, stream); got.name != keys.ScalerMetric {
			t.Errorf("%v: got %+v", r, got)
		}
	}
}

func TestStreamIsActiveStaysOpen(t *testing.T) {
	c := client(t, newBook())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := c.StreamIsActive(ctx, ref())
	if err != nil {
		t.Fatal(err)
	}
	if active, err := stream.Recv(); err != nil || !active.Result {
		t.Fatalf("got %v, %v: KEDA would scale to zero", active, err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := stream.Recv()
		ended <- err
	}()
	// Another call goes through meanwhile; the stream neither ends nor says more.
	if _, err := c.IsActive(t.Context(), ref()); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		t.Fatalf("the stream ended by itself: %v", err)
	default:
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("a second message came without a change")
	}
}

func TestStopEndsOpenStreamsCleanly(t *testing.T) {
	b := newBook(decided(1, 4))
	address, stop := started(t, externalscaler.New(b, quiet()), options())
	conn := dial(t, address, nil)
	c := pb.NewExternalScalerClient(conn)
	specs, err := c.StreamMetricSpec(t.Context(), ref())
	if err != nil {
		t.Fatal(err)
	}
	next(t, specs)
	active, err := c.StreamIsActive(t.Context(), ref())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := active.Recv(); err != nil {
		t.Fatal(err)
	}
	watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatalf("the server did not stop in peace: %v", err)
	}
	if _, err := specs.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the spec stream ended with %v: KEDA backs off after anything but EOF", err)
	}
	if _, err := active.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the activity stream ended with %v: KEDA backs off after anything but EOF", err)
	}
}

func TestEveryReplicaAnswersAlike(t *testing.T) {
	one, two := client(t, newBook(decided(5, 4))), client(t, newBook(decided(5, 4)))
	for _, r := range []*pb.ScaledObjectRef{ref(), ref("maxReplicas", "2000")} {
		first, err := one.GetMetricSpec(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		second, err := two.GetMetricSpec(t.Context(), r)
		if err != nil || told(first) != told(second) {
			t.Errorf("two replicas answer %v and %v (%v): KEDA would rewrite the HPA at each poll", first, second, err)
		}
	}
}

func TestStreamsDoNotMissAChangeBetweenReadingAndWaiting(t *testing.T) {
	b := newBook(decided(1, 4))
	c := client(t, b)
	for range 50 {
		stream, err := c.StreamMetricSpec(t.Context(), ref())
		if err != nil {
			t.Fatal(err)
		}
		d, _, _ := b.Latest(chat)
		// The change races with the stream's start; whichever is first, its target must arrive.
		go b.put(decided(d.Sequence+1, 4))
		want := 1 + 0.001*float64((d.Sequence+1)%2)
		for next(t, stream).target != want {
			continue
		}
	}
}
