package externalscaler_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/externalscaler"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
)

func TestGetMetricsAnswersTheDecidedCount(t *testing.T) {
	other := decided(3, 9)
	other.Fleet.Name = "other"
	large, smallest := decided(7, 80), decided(7, 1)
	large.Fleet.Name, smallest.Fleet.Name = "large", "smallest"
	c := client(t, newBook(decided(7, 6), other, large, smallest))
	tests := []struct {
		name string
		ref  *pb.ScaledObjectRef
		want float64
	}{
		{"the fleet is the ScaledObject's name by default", ref(), 6},
		{"key fleet names another Deployment", ref("fleet", "other"), 9},
		{"minReplicas raises the answer", ref("minReplicas", "8"), 8},
		{"maxReplicas lowers the answer", ref("maxReplicas", "4"), 4},
		{"without maxReplicas the policy file's maximum is not cut to the default", ref("fleet", "large"), 80},
		{"minReplicas alone leaves the maximum open", ref("fleet", "large", "minReplicas", "60"), 80},
		{"without minReplicas the policy file's minimum is not raised to the default", ref("fleet", "smallest"), 1},
		{"maxReplicas alone may be 1", ref("maxReplicas", "1"), 1},
		{"KEDA's own keys are let through", ref("caCert", "x", "tlsClientCert", "y", "passwordFromEnv", "z"), 6},
		{"a fleet that may grow past 999 is answered in hundredths", ref("maxReplicas", "1000"), 600},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			response, err := c.GetMetrics(t.Context(), ask(tc.ref))
			if err != nil {
				t.Fatal(err)
			}
			if len(response.MetricValues) != 1 {
				t.Fatalf("%d values: HPA sums them, so anything but one is another count", len(response.MetricValues))
			}
			value := response.MetricValues[0]
			if value.MetricValueFloat != tc.want || value.MetricValue != int64(tc.want) {
				t.Errorf("got %v (integer %d), want %v", value.MetricValueFloat, value.MetricValue, tc.want)
			}
		})
	}
}

func TestGetMetricsServesDecisionsAsTheyAreInACluster(t *testing.T) {
	c := client(t, newBook(decided(7, 6)), externalscaler.WithoutMetadataLimits())
	response, err := c.GetMetrics(t.Context(), ask(ref("maxReplicas", "4", "minReplicas", "2")))
	if err != nil || response.MetricValues[0].MetricValueFloat != 6 {
		t.Errorf("got %v, %v: in a cluster a gRPC call must not change what the leader decided", response, err)
	}
}

func TestGetMetricsSaysWhyThereIsNoAnswer(t *testing.T) {
	expired := decided(7, 6)
	expired.ExpiresAt = serverTime
	shadowed := decided(7, 6)
	shadowed.Mode = "shadow"
	unread := newBook()
	unread.at(time.Time{})
	unreadClock := newBook(decided(7, 6))
	unreadClock.at(time.Time{})
	broken := newBook(decided(7, 6))
	broken.panics = true
	tests := []struct {
		name string
		book *book
		ask  *pb.GetMetricsRequest
		code codes.Code
		says []string
	}{
		{"nobody ever decided for the fleet", newBook(), ask(ref()), codes.NotFound, []string{"shop/chat", `"fleet"`, "heartbeats"}},
		{"the decision expired", newBook(expired), ask(ref()), codes.Unavailable, []string{"decision 7", "expired", "2001-02-03"}},
		{"nothing was read yet", unread, ask(ref()), codes.Unavailable, []string{"shop/chat", "Redis"}},
		{"a decision without a clock to judge it by", unreadClock, ask(ref()), codes.Unavailable, []string{"shop/chat"}},
		{"reading decisions panics", broken, ask(ref()), codes.Unavailable, []string{"shop/chat"}},
		{"the metadata asks for shadow mode", newBook(decided(7, 6)), ask(ref("mode", "shadow")), codes.Unavailable, []string{"shadow", "cluster", `"mode"`}},
		{"the leader decides in shadow mode", newBook(shadowed), ask(ref()), codes.Unavailable, []string{"shadow", "cluster"}},
		{"metricType Value multiplies by ready pods", newBook(decided(7, 6)), ask(ref("metricType", "Value")), codes.InvalidArgument, []string{"metricType", "AverageValue"}},
		{"a key is not known", newBook(decided(7, 6)), ask(ref("maxReplica", "9")), codes.InvalidArgument, []string{"maxReplica", "9"}},
		{"the reference is missing", newBook(decided(7, 6)), ask(nil), codes.InvalidArgument, []string{"namespace"}},
		{"the ScaledObject's name is no fleet's", newBook(), ask(&pb.ScaledObjectRef{Namespace: "shop", Name: "Chat_1"}), codes.InvalidArgument, []string{"Chat_1", `"fleet"`}},
		{
			"the metric is another scaler's", newBook(decided(7, 6)), &pb.GetMetricsRequest{ScaledObjectRef: ref(), MetricName: "cpu"},
			codes.InvalidArgument,
			[]string{`"cpu"`, keys.ScalerMetric},
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			c := client(t, tc.book)
			response, err := c.GetMetrics(t.Context(), tc.ask)
			if status.Code(err) != tc.code {
				t.Fatalf("got %v, %v: want %v", response, err, tc.code)
			}
			for _, word := range tc.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("the words leave out %q, so the operator cannot act on them: %v", word, err)
				}
			}
			if _, err := c.GetMetricSpec(t.Context(), tc.ask.GetScaledObjectRef()); err != nil {
				t.Errorf("GetMetricSpec failed (%v): KEDA's fallback never counts then", err)
			}
			if active, err := c.IsActive(t.Context(), tc.ask.GetScaledObjectRef()); err != nil || !active.GetResult() {
				t.Errorf("IsActive answered %v, %v: KEDA would fail the query or scale to zero", active, err)
			}
		})
	}
}

func TestExpiryIsJudgedByTheDecisionsOwnClock(t *testing.T) {
	b := newBook(decided(7, 6))
	c := client(t, b)
	for _, step := range []struct {
		after time.Duration
		code  codes.Code
	}{{89 * time.Second, codes.OK}, {90 * time.Second, codes.Unavailable}, {-time.Hour, codes.OK}} {
		b.at(serverTime.Add(step.after))
		if _, err := c.GetMetrics(t.Context(), ask(ref())); status.Code(err) != step.code {
			t.Errorf("%v after the decision: got %v, want %v", step.after, err, step.code)
		}
	}
}

// TestPollsChangeNothing is rule 2: desired counts are absolute and idempotent.
func TestPollsChangeNothing(t *testing.T) {
	b := newBook(decided(1, 2))
	address, _ := started(t, externalscaler.New(b, quiet()), options())
	clients := make([]pb.ExternalScalerClient, 5)
	for i := range clients {
		clients[i] = pb.NewExternalScalerClient(dial(t, address, nil))
	}
	sequence := uint64(1)
	rapid.Check(t, func(rt *rapid.T) {
		sequence++
		d := decided(sequence, rapid.IntRange(2, 50).Draw(rt, "desired"))
		b.put(d)
		polls := rapid.SliceOfN(rapid.IntRange(0, len(clients)-1), 1, 20).Draw(rt, "who polls")
		answers := make([]answer, len(polls))
		var group sync.WaitGroup
		for i, who := range polls {
			group.Go(func() { answers[i] = lookLikeKEDA(t.Context(), clients[who]) })
		}
		group.Wait()
		want := answer{count: float64(d.Desired), target: 1 + 0.001*float64(sequence%2), active: true}
		for _, got := range answers {
			if got != want {
				rt.Fatalf("one of %d polls was answered %+v, want %+v: asking moved the fleet", len(polls), got, want)
			}
		}
		if got, _, _ := b.Latest(chat); got.Sequence != d.Sequence || got.Desired != d.Desired {
			rt.Fatalf("polling changed the decision to %+v", got)
		}
	})
}

// answer is what one look of KEDA learns.
type answer struct {
	count, target float64
	active        bool
	err           error
}

func lookLikeKEDA(ctx context.Context, c pb.ExternalScalerClient) answer {
	spec, err := c.GetMetricSpec(ctx, ref())
	if err != nil {
		return answer{err: err}
	}
	metrics, err := c.GetMetrics(ctx, &pb.GetMetricsRequest{ScaledObjectRef: ref(), MetricName: spec.MetricSpecs[0].MetricName})
	if err != nil {
		return answer{err: err}
	}
	active, err := c.IsActive(ctx, ref())
	return answer{metrics.MetricValues[0].MetricValueFloat, spec.MetricSpecs[0].TargetSizeFloat, active.GetResult(), err}
}

func TestAPanicEndsOneCallOnly(t *testing.T) {
	b := newBook(decided(1, 4))
	c := client(t, b)
	b.burn(true)
	spec, err := c.GetMetricSpec(t.Context(), ref())
	if err != nil || spec.MetricSpecs[0].TargetSizeFloat != 1 {
		t.Errorf("GetMetricSpec answered %v, %v: it must not fail, whatever breaks below", spec, err)
	}
	b.burn(false)
	if _, err := c.GetMetrics(t.Context(), ask(ref())); err != nil {
		t.Errorf("after a panic the scaler answers %v", err)
	}
}

// unsound panics where a stream waits.
type unsound struct{ *book }

// Changed panics.
func (unsound) Changed(fleet.ID) <-chan struct{} { panic("no channel") }

func TestAPanicInAStreamIsAnError(t *testing.T) {
	address, _ := started(t, externalscaler.New(unsound{newBook()}, quiet()), options())
	c := pb.NewExternalScalerClient(dial(t, address, nil))
	stream, err := c.StreamMetricSpec(t.Context(), ref())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Internal {
		t.Errorf("got %v: a panic must end the stream in words and nothing else", err)
	}
	if _, err := c.IsActive(t.Context(), ref()); err != nil {
		t.Errorf("the process did not survive: %v", err)
	}
}

func TestGetMetricSpecEqualsTheStream(t *testing.T) {
	for _, d := range []decision.Decision{decided(0, 4), decided(1, 4), decided(2, 4)} {
		c := client(t, newBook(d))
		stream, err := c.StreamMetricSpec(t.Context(), ref())
		if err != nil {
			t.Fatal(err)
		}
		pushed, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		polled, err := c.GetMetricSpec(t.Context(), ref())
		if err != nil || told(pushed) != told(polled) {
			t.Errorf("sequence %d: pushed %v, polled %v, %v: KEDA would turn the target back and forth", d.Sequence, pushed, polled, err)
		}
	}
}
