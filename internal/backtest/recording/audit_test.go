package recording_test

import (
	"bytes"
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest/recording"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
)

// audited are the decisions of a story that changed something, as the audit log keeps them.
func audited(frames []recording.Frame) []decision.Decision {
	var out []decision.Decision
	for i, f := range frames {
		if i == 0 || f.Decision.Sequence != frames[i-1].Decision.Sequence {
			out = append(out, f.Decision)
		}
	}
	return out
}

func rebuild(t *testing.T, decisions []decision.Decision) (recording.Progress, []byte) {
	t.Helper()
	var file bytes.Buffer
	done, err := recording.FromDecisions(t.Context(), &file, chat, decisions, policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	return done, file.Bytes()
}

func TestDecisionsMakeACoarseRecordingThatSaysSo(t *testing.T) {
	t.Parallel()
	decisions := audited(story(policy.Default(), 400, swell))
	if len(decisions) < 2 {
		t.Fatalf("the story has %d decisions", len(decisions))
	}
	done, file := rebuild(t, decisions)
	h, frames, err := read(file)
	if err != nil || len(frames) != done.Frames || h.Source != recording.Audit || !strings.Contains(h.Coarse, "straight line") {
		t.Fatalf("%d frames of %d, source %s (%q), %v", len(frames), done.Frames, h.Source, h.Coarse, err)
	}
	for i, f := range frames {
		in := f.Decision.Inputs
		clients := 0
		for _, n := range f.Model.Nodes {
			clients += n.Connections
		}
		if len(f.Model.Nodes) != in.Serving || f.Model.Nodes[0].Connections-f.Model.Nodes[3].Connections > 1 {
			t.Fatalf("frame %d has %d nodes for %d serving", i, len(f.Model.Nodes), in.Serving)
		}
		if f.Model.Now.Equal(f.Decision.RefreshedAt) && clients != in.Connections {
			t.Errorf("frame %d has %d clients, want the %d that were decided on", i, clients, in.Connections)
		}
	}
	out := replayed(t, file)
	if out.Replayed.Peak != out.Decided.Peak || out.Header.Coarse == "" {
		t.Errorf("a replay of its own policy peaks at %d, decided were %d", out.Replayed.Peak, out.Decided.Peak)
	}
}

func TestStartingStuckAndStaleNodesAreRebuilt(t *testing.T) {
	t.Parallel()
	d := story(policy.Default(), 1, func(int) int { return 100 })[0].Decision
	d.Inputs.Starting, d.Inputs.Stuck, d.Inputs.Stale, d.Inputs.Draining, d.Inputs.Leaving = 2, 1, 1, 1, 2
	_, file := rebuild(t, []decision.Decision{d})
	_, frames, err := read(file)
	if err != nil || len(frames) != 1 {
		t.Fatalf("%d frames, %v", len(frames), err)
	}
	states, stale := map[fleet.State]int{}, 0
	for _, n := range frames[0].Model.Nodes {
		states[n.State]++
		if n.Stale {
			stale++
		}
	}
	m := frames[0].Model
	if states[fleet.Serving] != 4 || states[fleet.Draining] != 1 || states[fleet.Leaving] != 2 || stale != 1 || m.Pending != 3 || m.Stuck != 1 {
		t.Errorf("states %v, %d stale, %d pending, %d stuck", states, stale, m.Pending, m.Stuck)
	}
}

func TestDecisionsThatNoFleetMadeAreLeftOut(t *testing.T) {
	t.Parallel()
	good := audited(story(policy.Default(), 400, swell))
	spoiled := make([]decision.Decision, 6)
	for i := range spoiled {
		spoiled[i] = good[0]
	}
	spoiled[0].Inputs.Serving = -1
	spoiled[1].Inputs.Serving = math.MaxInt32
	spoiled[2].Inputs.CPU = math.NaN()
	spoiled[3].Fleet.Name = "other"
	spoiled[4].RefreshedAt = time.Time{}
	spoiled[5].Inputs.P95Latency = -1
	want, plain := rebuild(t, good)
	// Told twice, out of order, among others.
	mixed := append(append(append([]decision.Decision{}, spoiled...), good[1:]...), good...)
	done, file := rebuild(t, mixed)
	if done.Skipped != 6 || done.Frames != want.Frames || !bytes.Equal(file, plain) {
		t.Errorf("%d skipped, %d frames: want the same file as of the %d good ones alone", done.Skipped, done.Frames, len(good))
	}
	if _, err := recording.FromDecisions(t.Context(), &bytes.Buffer{}, chat, spoiled, policy.Default()); err == nil || !strings.Contains(err.Error(), "shop/chat") {
		t.Errorf("none of them is usable: %v", err)
	}
}

func TestARebuildingThatIsInterruptedSaysSo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := recording.FromDecisions(ctx, &bytes.Buffer{}, chat, audited(story(policy.Default(), 400, swell)), policy.Default()); err == nil {
		t.Error("a part of the past looks like all of it")
	}
}
