package decision

import (
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/internal/fleet"
)

func testDecision() Decision {
	at := time.UnixMilli(1_700_000_000_000).UTC()
	return Decision{
		Fleet: fleet.ID{Namespace: "shop", Name: "chat"}, Sequence: 4, Fence: 50,
		At: at, RefreshedAt: at.Add(time.Second), ExpiresAt: at.Add(90 * time.Second),
		Desired: 7, Urgency: High, Reason: ReasonLatency, Note: "p95 610 ms", LimitedBy: LimitMax,
		Policy: "count", Mode: "act", Victims: []fleet.NodeID{"chat-1"},
		Inputs:  Inputs{Serving: 5, CPU: 0.6, Connections: 4000, P95Latency: 610 * time.Millisecond},
		Working: Working{Demand: 4100, Forecast: 5000, Lead: 45 * time.Second, Margin: 1.1, WantCPU: 6.4, Want: 9},
	}
}

func TestDecodeReadsWhatEncodeWrote(t *testing.T) {
	t.Parallel()
	want := testDecision()
	body, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the decision changed on its way to the scaler (-want +got):\n%s", diff)
	}
}

func TestADecisionThatKEDAMustNotSeeIsNeitherWrittenNorRead(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(*Decision)
		want  string
	}{
		"a negative count":        {func(d *Decision) { d.Desired = -1 }, "desired -1 is outside 0 to 2147483647"},
		"a count beyond an int32": {func(d *Decision) { d.Desired = math.MaxInt32 + 1 }, "desired 2147483648"},
		"an urgency too low":      {func(d *Decision) { d.Urgency = -1 }, "urgency(-1) is unknown"},
		"an urgency too high":     {func(d *Decision) { d.Urgency = 4 }, "urgency(4) is unknown"},
		"no end":                  {func(d *Decision) { d.ExpiresAt = time.Time{} }, "expiresAt is missing"},
		"no fleet":                {func(d *Decision) { d.Fleet = fleet.ID{} }, "fleet namespace"},
	} {
		d := testDecision()
		test.spoil(&d)
		if _, err := d.Encode(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s is written: error %v: want one with %q", name, err, test.want)
		}
	}
	for name, test := range map[string]struct{ body, want string }{
		"nothing":      {"", "decode decision"},
		"no JSON":      {"seven", "decode decision"},
		"no fleet":     {`{"desired":7,"expiresAt":"2026-01-01T00:00:00Z"}`, "fleet namespace"},
		"no end":       {`{"fleet":"shop/chat","desired":7}`, "expiresAt is missing"},
		"half a pod":   {`{"fleet":"shop/chat","desired":7.5,"expiresAt":"2026-01-01T00:00:00Z"}`, "decode decision"},
		"minus a pod":  {`{"fleet":"shop/chat","desired":-1,"expiresAt":"2026-01-01T00:00:00Z"}`, "desired -1"},
		"endless pods": {`{"fleet":"shop/chat","desired":1e99,"expiresAt":"2026-01-01T00:00:00Z"}`, "decode decision"},
		"no such year": {`{"fleet":"shop/chat","desired":7,"expiresAt":"20260-01-01T00:00:00Z"}`, "decode decision"},
		"an urgency 9": {`{"fleet":"shop/chat","desired":7,"urgency":9,"expiresAt":"2026-01-01T00:00:00Z"}`, "urgency(9)"},
	} {
		if d, err := Decode([]byte(test.body)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s is read as %d pods: error %v: want one with %q", name, d.Desired, err, test.want)
		}
	}
}

func TestADecisionExpiresAtItsEndAndNotBefore(t *testing.T) {
	t.Parallel()
	d := testDecision()
	for offset, want := range map[time.Duration]bool{-time.Nanosecond: false, 0: true, time.Hour: true} {
		if got := d.Expired(d.ExpiresAt.Add(offset)); got != want {
			t.Errorf("%s after its end: expired %v: want %v", offset, got, want)
		}
	}
}

func TestUrgenciesHaveNames(t *testing.T) {
	t.Parallel()
	for urgency, want := range map[Urgency]string{
		Balanced: "balanced", Moderate: "moderate", High: "high", Critical: "critical", 4: "urgency(4)", -1: "urgency(-1)",
	} {
		if got := urgency.String(); got != want {
			t.Errorf("urgency %d is called %q: want %q", int(urgency), got, want)
		}
	}
}

func TestALogLineHoldsEverythingTheDecisionWasMadeFrom(t *testing.T) {
	t.Parallel()
	var line strings.Builder
	slog.New(slog.NewJSONHandler(&line, nil)).Info("decided", slog.Any("decision", testDecision()))
	for _, want := range []string{
		`"fleet":"shop/chat"`, `"sequence":4`, `"fence":50`, `"desired":7`, `"urgency":"high"`, `"reason":"high-latency"`,
		`"note":"p95 610 ms"`, `"limited_by":"maxReplicas"`, `"policy":"count"`, `"victims":["chat-1"]`, `"connections":4000`, `"margin":1.1`,
	} {
		if !strings.Contains(line.String(), want) {
			t.Errorf("the line lacks %s:\n%s", want, line.String())
		}
	}
}

// Whatever decodes is an answer that KEDA may see, and reads the same wherever it goes.
func FuzzDecodeDecision(f *testing.F) {
	d := testDecision()
	body, err := d.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"fleet":"a/b","expiresAt":"0001-01-01T00:00:00.000000001Z"}`))
	f.Add([]byte(`{"fleet":"a/b","desired":3,"at":"9999-12-31T23:59:59-23:59","expiresAt":"2026-01-01T00:00:00+01:30"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := Decode(body)
		if err != nil {
			return
		}
		if d.Desired < 0 || d.Desired > math.MaxInt32 || d.Urgency < Balanced || d.Urgency > Critical || d.ExpiresAt.IsZero() {
			t.Fatalf("KEDA must never see %+v", d)
		}
		again, err := d.Encode()
		if err != nil {
			t.Fatalf("it cannot be written again: %v", err)
		}
		same, err := Decode(again)
		if err != nil {
			t.Fatalf("it cannot be read again: %v", err)
		}
		if len(d.Victims) == 0 {
			d.Victims = same.Victims
		}
		if diff := cmp.Diff(d, same); diff != "" {
			t.Fatalf("it changed on its way:\n%s", diff)
		}
	})
}

func TestAnAnswerIsServedOnlyWhileItIsWatched(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d := Decision{Desired: 21, Answer: 23, RefreshedAt: at}
	for after, want := range map[time.Duration]int{0: 23, 10 * time.Second: 23, 11 * time.Second: 21, -time.Second: 23} {
		if got := d.Served(at.Add(after)); got != want {
			t.Errorf("after %s %d are served, want %d: the HPA's next look would take another step", after, got, want)
		}
	}
	d.Answer = 0
	if d.Watched(at) || d.Served(at) != 21 {
		t.Errorf("without an answer %d are served, want the decided 21", d.Served(at))
	}
}

func TestAnAnswerThatNoClusterHasIsRefused(t *testing.T) {
	t.Parallel()
	d := Decision{Fleet: fleet.ID{Namespace: "shop", Name: "chat"}, Desired: 2, ExpiresAt: time.Now(), Answer: -1}
	if _, err := d.Encode(); err == nil || !strings.Contains(err.Error(), "answer -1") {
		t.Errorf("error %v, want one that names the answer", err)
	}
	d.Answer = 5
	body, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Decode(body); err != nil || again.Answer != 5 {
		t.Errorf("read back as %d, error %v", again.Answer, err)
	}
}

func TestAnAnswerThatLastsIsServedUntilTheDecisionExpires(t *testing.T) {
	t.Parallel()
	d := testDecision()
	d.Answer, d.AnswerLasts = 1, true
	d.ExpiresAt = d.RefreshedAt.Add(90 * time.Second)
	if got := d.Served(d.ExpiresAt.Add(-time.Second)); got != 1 {
		t.Errorf("served %d while nobody confirms, want the 1 that is in nobody's way", got)
	}
	body, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if read, err := Decode(body); err != nil || !read.AnswerLasts {
		t.Errorf("read back %+v, error %v: the scaler would not know that it lasts", read, err)
	}
}
