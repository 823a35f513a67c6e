package externalscaler_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/externalscaler"
	"github.com/tidegate/tidegate/internal/keys"
)

func TestBadMetadataReachesTheCallerInWords(t *testing.T) {
	c := client(t, newBook(decided(7, 6)))
	classes := []string{"", "NaN", "Inf", "-1", "0", "1e309", "70%", "12 parsecs", "unknown", "\x00\xff"}
	accepted := map[string][]string{
		// A zero that has a meaning of its own, and names that are names.
		"connectionsPerPod": {"0"}, "messagesPerPod": {"0"}, "disruptionBudget": {"0"}, "fleet": {"0", "1e309", "unknown"},
	}
	all := []string{
		"fleet", "policy", "mode", "minReplicas", "maxReplicas", "connectionsPerPod", "messagesPerPod",
		"cpuCeiling", "memoryCeiling", "disruptionBudget", "scaleInDelay",
	}
	for _, key := range all {
		for _, value := range classes {
			t.Run(fmt.Sprintf("%s is %q", key, value), func(t *testing.T) {
				value := strings.ToValidUTF8(value, "\x01") // protobuf carries no other strings
				_, err := c.GetMetrics(t.Context(), ask(ref(key, value)))
				if slices.Contains(accepted[key], value) {
					if code := status.Code(err); code != codes.OK && code != codes.NotFound {
						t.Fatalf("a value with a meaning was refused: %v", err)
					}
					return
				}
				if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), key) {
					t.Errorf("got %v: the operator must be told the key", err)
				}
			})
		}
		t.Run(key+" is missing", func(t *testing.T) {
			if _, err := c.GetMetrics(t.Context(), ask(ref())); err != nil {
				t.Errorf("every key has a default: %v", err)
			}
		})
	}
}

func TestLongNonsenseGetsAShortRefusal(t *testing.T) {
	c := client(t, newBook(decided(7, 6)))
	r := ref()
	for i := range 500 {
		r.ScalerMetadata[fmt.Sprintf("nonsense%d", i)] = strings.Repeat("x", 50)
	}
	_, err := c.GetMetrics(t.Context(), ask(r))
	if status.Code(err) != codes.InvalidArgument || len(err.Error()) > 2048 {
		t.Errorf("got %d bytes with code %v: an Event holds 1 KiB", len(err.Error()), status.Code(err))
	}
	r.ScalerMetadata["huge"] = strings.Repeat("x", 1<<20)
	if _, err := c.GetMetrics(t.Context(), ask(r)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a request of a megabyte was answered %v: nothing bounds a caller's memory use", err)
	}
}

// FuzzGetMetrics holds that any reference gets exactly one value within its own limits or one of the four codes,
// and that GetMetricSpec answers it whatever it is.
func FuzzGetMetrics(f *testing.F) {
	f.Add("shop", "chat", "maxReplicas", "4", "minReplicas", "2", "")
	f.Add("shop", "chat", "fleet", "other", "mode", "shadow", keys.ScalerMetric)
	f.Add("", "Chat", "metricType", "Value", "cpuCeiling", "NaN", "cpu")
	f.Add("shop", "chat", "maxReplicas", "100000", "scaleInDelay", "300s", keys.ScalerMetric+"-x100")
	server := externalscaler.New(newBook(decided(7, 6)), quiet())
	f.Fuzz(func(t *testing.T, namespace, name, key1, value1, key2, value2, asked string) {
		r := &pb.ScaledObjectRef{Namespace: namespace, Name: name, ScalerMetadata: map[string]string{key1: value1, key2: value2}}
		spec, err := server.GetMetricSpec(t.Context(), r)
		if err != nil || len(spec.MetricSpecs) != 1 || spec.MetricSpecs[0].TargetSizeFloat < 1 {
			t.Fatalf("GetMetricSpec answered %v, %v: KEDA's fallback never counts then", spec, err)
		}
		response, err := server.GetMetrics(t.Context(), &pb.GetMetricsRequest{ScaledObjectRef: r, MetricName: asked})
		if err != nil {
			allowed := []codes.Code{codes.Unavailable, codes.InvalidArgument, codes.NotFound}
			if !slices.Contains(allowed, status.Code(err)) || len(err.Error()) > 2048 || !utf8.ValidString(err.Error()) {
				t.Fatalf("refused with %v, in %d bytes: no code that KEDA's operator can act on", status.Code(err), len(err.Error()))
			}
			return
		}
		if len(response.MetricValues) != 1 {
			t.Fatalf("%d values: HPA sums them", len(response.MetricValues))
		}
		value, scale := response.MetricValues[0].MetricValueFloat, 1.0
		if response.MetricValues[0].MetricName != keys.ScalerMetric {
			scale = 100
		}
		if count := value / scale; count != math.Trunc(count) || count < 1 || count > 100_000 {
			t.Fatalf("answered %v in %s: no replica count", value, response.MetricValues[0].MetricName)
		}
	})
}
