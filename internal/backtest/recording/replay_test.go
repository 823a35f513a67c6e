package recording_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest/recording"
	"github.com/tidegate/tidegate/internal/load"
)

func replayed(t *testing.T, file []byte, set ...string) recording.Outcome {
	t.Helper()
	r, err := recording.Open(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	change, err := recording.Change(nil, set)
	if err != nil {
		t.Fatal(err)
	}
	out, err := recording.Replay(t.Context(), r, change)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// swell is a fleet of four that fills up within five minutes and stays so.
func swell(second int) int { return 600 + min(second, 300)*3 }

func TestTheRecordedPolicyDecidesWhatItDecided(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	frames := story(p, 500, swell)
	out := replayed(t, written(t, header(), frames...))
	if out.Agreed != 1 || out.Frames != 500 || out.Incomplete != "" || out.Gaps != 0 || len(out.Changed) != 0 {
		t.Errorf("%d frames agree in %.3f, gaps %d, %q, changed %v: a replay that differs by itself says nothing of another policy",
			out.Frames, out.Agreed, out.Gaps, out.Incomplete, out.Changed)
	}
	if out.Replayed.Peak != frames[499].Decision.Desired || out.Replayed.PodSeconds != out.Decided.PodSeconds {
		t.Errorf("replayed %+v, decided %+v", out.Replayed, out.Decided)
	}
}

func TestAReplayGoesOnFromTheLeadersMemory(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	frames := story(p, 800, func(i int) int { return max(300, 1200-2*i) })
	var s decide.State
	for _, f := range frames[:400] {
		_, s = decide.Next(p, s, f.Model)
	}
	memory, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	warm, cold := header(), header()
	warm.Memory = memory
	if out := replayed(t, written(t, warm, frames[400:]...)); out.Agreed != 1 || out.Cold != "" {
		t.Errorf("with the leader's memory %.3f agree (%s), want all", out.Agreed, out.Cold)
	}
	out := replayed(t, written(t, cold, frames[400:]...))
	if out.Cold == "" {
		t.Error("a replay without memory must say so")
	}
	if out.Replayed.Peak > frames[400].Decision.Desired {
		t.Errorf("it begins with %d, though %d stood", out.Replayed.Peak, frames[400].Decision.Desired)
	}
}

func TestAnotherCeilingAsksForAnotherCount(t *testing.T) {
	t.Parallel()
	file := written(t, header(), story(policy.Default(), 500, swell)...)
	out := replayed(t, file, "cpuCeiling=0.6")
	if out.Replayed.Peak <= out.Decided.Peak || out.Agreed == 1 {
		t.Errorf("a ceiling of 0.6 asks for %d, one of 0.87 for %d: want more", out.Replayed.Peak, out.Decided.Peak)
	}
	if len(out.Changed) != 1 || out.Changed[0] != "cpuCeiling 0.87 -> 0.6" {
		t.Errorf("changed: %v", out.Changed)
	}
	if out.Fleet.PeakNeed != 5 || out.Fleet.NeedSeconds == 0 {
		t.Errorf("four nodes of 1,500 clients at 0.90 CPU need %d nodes at 0.80, want 5", out.Fleet.PeakNeed)
	}
}

func TestTheRecordedFleetsBadSecondsAreCounted(t *testing.T) {
	t.Parallel()
	frames := story(policy.Default(), 100, func(i int) int {
		if i < 25 {
			return 1600 // 0.96 CPU
		}
		return 1000
	})
	out := replayed(t, written(t, header(), frames...))
	if want := 25 * 4 * 1600.0; out.Fleet.BadSeconds != want || out.Fleet.Seconds != 100 {
		t.Errorf("%v bad client-seconds in %v s, want %v in 100", out.Fleet.BadSeconds, out.Fleet.Seconds, want)
	}
	for i := range frames {
		frames[i].Model.Nodes[0].RefusedPerSecond = 10
	}
	with := replayed(t, written(t, header(), frames...))
	if waiting := with.Fleet.BadSeconds - out.Fleet.BadSeconds; waiting != 100*10*5 {
		t.Errorf("10 refused a second who try again after 5 s: %v bad client-seconds of waiting in 100 s, want 5000", waiting)
	}
}

func TestAHoleInARecordingIsNoTime(t *testing.T) {
	t.Parallel()
	frames := story(policy.Default(), 100, func(int) int { return 100 })
	out := replayed(t, written(t, header(), append(frames[:20], frames[60:]...)...))
	if out.Gaps != 1 || out.Fleet.Seconds != 60 {
		t.Errorf("%d gaps, %v seconds: want one, and the 60 that were watched", out.Gaps, out.Fleet.Seconds)
	}
}

func TestAPolicyThatChangedMeanwhileIsFollowed(t *testing.T) {
	t.Parallel()
	frames := story(policy.Default(), 600, func(int) int { return 1200 })
	narrow := policy.Default()
	narrow.MaxReplicas, narrow.MinReplicas = 3, 3
	frames[300].Policy = &narrow
	out := replayed(t, written(t, header(), frames...), "minReplicas=1")
	if out.Policy.MaxReplicas != 3 || out.Policy.MinReplicas != 1 || out.Replayed.Least > 3 {
		t.Errorf("the policy at the end has %d to %d replicas and asked for %d at least: the later policy, changed, was not used",
			out.Policy.MinReplicas, out.Policy.MaxReplicas, out.Replayed.Least)
	}
}

func TestWhatWasAskedForIsTheDeploymentsOwnCount(t *testing.T) {
	t.Parallel()
	frames := story(policy.Default(), 30, func(int) int { return 1200 })
	for i := range frames {
		frames[i].Model.Cluster = &load.Cluster{Spec: 9, Status: 9}
	}
	if out := replayed(t, written(t, header(), frames...)); out.Asked.Peak != 9 {
		t.Errorf("the Deployment was asked for 9, told are %d: in shadow mode nobody takes the decided count", out.Asked.Peak)
	}
}

func TestAReplayOfACutFileSaysSo(t *testing.T) {
	t.Parallel()
	whole := written(t, header(), story(policy.Default(), 100, swell)...)
	out := replayed(t, whole[:len(whole)*3/4])
	if out.Frames == 0 || !strings.Contains(out.Incomplete, "ends early") {
		t.Errorf("%d frames, %q", out.Frames, out.Incomplete)
	}
}

func TestAReplayEndsWithItsContextAndNeedsAReading(t *testing.T) {
	t.Parallel()
	open := func(frames ...recording.Frame) *recording.Reader {
		r, err := recording.Open(bytes.NewReader(written(t, header(), frames...)))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if _, err := recording.Replay(t.Context(), open(), nil); err == nil || !strings.Contains(err.Error(), "no reading") {
		t.Errorf("an empty recording: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := recording.Replay(ctx, open(recording.Frame{Model: fleetAt(noon, 1, 1)}), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
}

func TestSettingsThatNoPolicyCanHaveAreRefusedByName(t *testing.T) {
	t.Parallel()
	if _, err := recording.Change(nil, []string{"cpuCeiling"}); err == nil || !strings.Contains(err.Error(), "name=value") {
		t.Errorf("a name without value: %v", err)
	}
	for set, want := range map[string]string{
		"cpuCeiling=87": "cpuCeiling", "cpuCieling=0.8": "did you mean cpuCeiling", "minReplicas=90": "maxReplicas",
		"scaleInStep=30": "30s", "mode=maybe": "act or shadow",
	} {
		change, err := recording.Change(nil, []string{set})
		if err == nil {
			_, err = change(policy.Default())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--set %s: error %v, want one that says %q", set, err, want)
		}
	}
	change, err := recording.Change(strings.NewReader(`{"margin": 1.3, "scaleInStep": "10s"}`), []string{"minReplicas=60", "maxReplicas=80", "margin=1.2"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := change(policy.Default())
	if err != nil || p.Margin != 1.2 || p.ScaleInStep != 10*time.Second || p.MinReplicas != 60 {
		t.Errorf("margin %v, step %s, min %d, %v: want the file's with --set over it", p.Margin, p.ScaleInStep, p.MinReplicas, err)
	}
}

func TestASeriesIsShortWhateverTheRecordingsLength(t *testing.T) {
	t.Parallel()
	frames := story(policy.Default(), 1300, func(i int) int { return 100 + i%7 })
	frames[650].Model.Nodes[0].CPU = 0.99
	s := replayed(t, written(t, header(), frames...)).Series
	if n := len(s.At); n < 300 || n > 600 || len(s.Need) != n || len(s.Bad) != n || len(s.Replayed) != n {
		t.Errorf("%d points for 1300 seconds, want 300 to 600 in every column", n)
	}
	worst := 0.0
	for i := range s.At {
		if i > 0 && s.At[i] <= s.At[i-1] {
			t.Fatalf("point %d is not after the one before", i)
		}
		worst = max(worst, s.Bad[i])
	}
	if worst == 0 {
		t.Error("one bad second of 1300 is nowhere on the chart")
	}
}
