package externalscaler

import (
	"testing"

	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/hpa"
	"github.com/tidegate/tidegate/internal/keys"
)

// arrives is the count that the HPA computes from a target and a value, in the thousandths that KEDA makes of them.
func arrives(target, value float64, status int) int {
	spec := hpa.Spec{Min: 1, Max: 1 << 30}
	count, _ := hpa.OfMetric(spec, status, hpa.Metric{Value: hpa.MilliOf(value), Target: hpa.MilliOf(target)})
	return count
}

// TestEveryCountArrives replays each count against both targets: HPA may hold either while KEDA pushes the other.
func TestEveryCountArrives(t *testing.T) {
	tests := []struct {
		scale scale
		most  int
	}{{plain, 1000}, {fine, 100_000}}
	for _, tc := range tests {
		for n := range tc.most + 1 {
			value := tc.scale.value(n).MetricValues[0].MetricValueFloat
			for sequence := range uint64(2) {
				target := tc.scale.spec(decision.Decision{Sequence: sequence}, true).MetricSpecs[0].TargetSizeFloat
				for _, status := range []int{0, 1, n - 1, n, n + 1} {
					if status < 0 {
						continue
					}
					if got := arrives(target, value, status); got != n {
						t.Fatalf("%s: %d replicas at target %v and %d pods arrive as %d", tc.scale.name, n, target, status, got)
					}
				}
			}
		}
	}
}

func TestTargetsAreThoseOfTheDesign(t *testing.T) {
	tests := []struct {
		name    string
		scale   scale
		decided bool
		seq     uint64
		want    float64
		milli   hpa.Milli
	}{
		{"before any decision", plain, false, 1, 1, 1000},
		{"after an even sequence", plain, true, 2, 1, 1000},
		{"after an odd sequence", plain, true, 3, 1.001, 1001},
		{"hundredths before any decision", fine, false, 1, 100, 100_000},
		{"hundredths after an even sequence", fine, true, 2, 100, 100_000},
		{"hundredths after an odd sequence", fine, true, 3, 100.001, 100_001},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			spec := tc.scale.spec(decision.Decision{Sequence: tc.seq}, tc.decided).MetricSpecs
			if len(spec) != 1 || spec[0].MetricName != tc.scale.name {
				t.Fatalf("got %v: want the one metric %s", spec, tc.scale.name)
			}
			if got := spec[0].TargetSizeFloat; got != tc.want || hpa.MilliOf(got) != tc.milli {
				t.Errorf("target %v (%d thousandths), want %v (%d): equal thousandths would toggle nothing", got, hpa.MilliOf(got), tc.want, tc.milli)
			}
		})
	}
}

// TestACountPastTheToggleArrives is a fleet without maxReplicas in its metadata, whose policy file allows thousands.
func TestACountPastTheToggleArrives(t *testing.T) {
	own := scaleOf(map[string]string{})
	if own != plain {
		t.Fatalf("a fleet without maxReplicas is served as %+v: want the plain count", own)
	}
	for n := 1; n <= 5000; n++ {
		for sequence := range uint64(2) {
			spec := own.spec(decision.Decision{Sequence: sequence, Desired: n}, true).MetricSpecs[0]
			if spec.MetricName != plain.name {
				t.Fatalf("%d replicas rename the metric to %s: an HPA that is not rewritten gets no answer", n, spec.MetricName)
			}
			value := own.value(n).MetricValues[0].MetricValueFloat
			if got := arrives(spec.TargetSizeFloat, value, n); got != n {
				t.Fatalf("%d replicas at target %v arrive as %d", n, spec.TargetSizeFloat, got)
			}
		}
	}
}

// TestTheScaleIsThatOfTheName holds when a user moves maxReplicas across 1,000 and the HPA still has the old target.
func TestTheScaleIsThatOfTheName(t *testing.T) {
	for _, limit := range []int{50, 999, 1000, 100_000} {
		own := scaleFor(limit)
		for _, held := range []scale{plain, fine} {
			used, known := scaleNamed(held.name, own)
			if !known {
				t.Fatalf("maxReplicas %d: metric %s is not known", limit, held.name)
			}
			value := used.value(40).MetricValues[0].MetricValueFloat
			if got := arrives(held.target, value, 40); got != 40 {
				t.Errorf("maxReplicas %d, HPA with target %v: 40 replicas arrive as %d", limit, held.target, got)
			}
		}
	}
	if scaleFor(999) != plain || plain.name != keys.ScalerMetric {
		t.Errorf("an ordinary fleet is served as %+v: want the plain count", scaleFor(999))
	}
	for text, want := range map[string]scale{"": plain, "many": plain, "-5": plain, "999": plain, "1000": fine} {
		if got := scaleOf(map[string]string{keyMaxReplicas: text}); got != want {
			t.Errorf("maxReplicas %q gives %+v, want %+v", text, got, want)
		}
	}
}
