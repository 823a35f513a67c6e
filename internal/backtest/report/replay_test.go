package report_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/backtest/recording"
	"github.com/tidegate/tidegate/internal/backtest/report"
	"github.com/tidegate/tidegate/internal/fleet"
)

func outcome() recording.Outcome {
	from := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	return recording.Outcome{
		Header:  recording.Header{Fleet: fleet.ID{Namespace: "shop", Name: "chat"}, Source: recording.Heartbeats, Every: time.Second},
		Changed: []string{"cpuCeiling 0.87 -> 0.6"}, Frames: 3600, From: from, Until: from.Add(time.Hour),
		Asked:    recording.Line{PodSeconds: 14_400, Least: 4, Peak: 5, Changes: 2, Reversals: 1, ShortSeconds: 90},
		Decided:  recording.Line{PodSeconds: 14_400, Least: 4, Peak: 5, Changes: 2, Reversals: 1, ShortSeconds: 90},
		Replayed: recording.Line{PodSeconds: 21_600, Least: 6, Peak: 7, Changes: 1},
		Agreed:   0.25, Fleet: recording.Health{Seconds: 3600, ClientSeconds: 1e6, BadSeconds: 1e4, PodSeconds: 14_000, NeedSeconds: 15_000, PeakNeed: 6},
		Series: recording.Series{
			At: []float64{1800, 3600}, Need: []float64{4, 6}, Serving: []float64{4, 4}, Asked: []float64{4, 5}, Decided: []float64{4, 5},
			Replayed: []float64{6, 7}, Clients: []float64{4000, 6000}, Bad: []float64{0, 0.02},
		},
	}
}

func TestAReplaySaysWhatItFoundAndWhatItCannotSay(t *testing.T) {
	o := outcome()
	o.Gaps, o.Incomplete, o.Cold = 1, "the recording ends early", "the leader's memory was not recorded"
	got := text(t, func(b *bytes.Buffer) error { return report.Replay(b, o) })
	golden(t, "replay.txt", got)
	for _, word := range []string{"cpuCeiling 0.87 -> 0.6", "reacts to nothing", "ends early", "1 holes", "25.0 %"} {
		if !strings.Contains(string(got), word) {
			t.Errorf("nobody is told %q", word)
		}
	}
}

func TestAReplayHasItsPageToo(t *testing.T) {
	t.Parallel()
	o := outcome()
	o.Header.Coarse = `<script>alert(1)</script>`
	body := string(text(t, func(b *bytes.Buffer) error { return report.ReplayHTML(b, o) }))
	if n := strings.Count(body, "<script"); n != 3 {
		t.Errorf("%d script elements, want 3", n)
	}
	for _, word := range []string{"Replay of shop/chat", "this policy", "asked for", "reacts to nothing", `"label":"decided"`} {
		if !strings.Contains(body, word) {
			t.Errorf("the page does not say %q", word)
		}
	}
}
