package externalscaler_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/externalscaler"
)

// A decision that an HPA without a tolerance would ignore is served as the wider answer, while somebody watches it land.
func TestAWiderAnswerIsServedWhileTheDecisionIsFresh(t *testing.T) {
	d := decided(1, 21)
	d.Answer = 23
	b := newBook(d)
	c := client(t, b, externalscaler.WithoutMetadataLimits())
	served := func() float64 {
		t.Helper()
		answer, err := c.GetMetrics(t.Context(), ask(ref()))
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetMetricValues()[0].GetMetricValueFloat()
	}
	if got := served(); got != 23 {
		t.Errorf("served %v, want 23: with 21 the HPA keeps 20 pods", got)
	}
	b.at(serverTime.Add(12 * time.Second))
	if got := served(); got != 21 {
		t.Errorf("served %v while no leader confirms, want the decided 21: the HPA's next look would go on", got)
	}
}

// Counts near the most that the toggle leaves exact are judged by what is served.
func TestAWiderAnswerAboveTheScaleIsNotToggled(t *testing.T) {
	d := decided(1, 980)
	d.Answer = 1003
	c := client(t, newBook(d), externalscaler.WithoutMetadataLimits())
	spec, err := c.GetMetricSpec(t.Context(), ref())
	if err != nil {
		t.Fatal(err)
	}
	if target := spec.GetMetricSpecs()[0].GetTargetSizeFloat(); target != 1 {
		t.Errorf("target %v for 1003: the HPA would round %v up to another count", target, 1003/target)
	}
}

// In shadow mode the balancer tells what is asked for already; without its word of just now there is no answer.
func TestAShadowServesWhatIsAskedForAlready(t *testing.T) {
	d := decided(1, 9)
	d.Mode, d.Answer = "shadow", 4
	b := newBook(d)
	c := client(t, b)
	answer, err := c.GetMetrics(t.Context(), ask(ref("minReplicas", "6", "mode", "shadow")))
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.GetMetricValues()[0].GetMetricValueFloat(); got != 4 {
		t.Errorf("served %v, want the 4 that run: a shadow changes nothing", got)
	}
	b.at(serverTime.Add(12 * time.Second))
	if _, err := c.GetMetrics(t.Context(), ask(ref())); status.Code(err) != codes.Unavailable {
		t.Errorf("error %v: what ran 12 s ago may run no more", err)
	}
	d.Answer, d.AnswerLasts = 1, true // beside other triggers
	b.put(d)
	for after, want := range map[time.Duration]codes.Code{12 * time.Second: codes.OK, 89 * time.Second: codes.OK, 91 * time.Second: codes.Unavailable} {
		b.at(serverTime.Add(after))
		answer, err := c.GetMetrics(t.Context(), ask(ref()))
		if status.Code(err) != want {
			t.Errorf("%s after it was confirmed: %v, want %s: an error among other triggers stops all scaling in", after, err, want)
		} else if want == codes.OK && answer.GetMetricValues()[0].GetMetricValueFloat() != 1 {
			t.Errorf("%s after it was confirmed: answer %v, want 1", after, answer)
		}
	}
	d.Mode, d.AnswerLasts = "act", false
	b.put(d)
	b.at(serverTime)
	if _, err := c.GetMetrics(t.Context(), ask(ref("mode", "shadow"))); status.Code(err) != codes.Unavailable {
		t.Errorf("error %v: the balancer has not heard of shadow mode yet, and its answer would act", err)
	}
}
