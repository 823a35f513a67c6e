package recording_test

import (
	"bytes"
	"compress/gzip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest/recording"
	"github.com/tidegate/tidegate/internal/decision"
)

// swollen is a recording whose second line is this text.
func swollen(t *testing.T, line string) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(written(t, header())))
	if err != nil {
		t.Fatal(err)
	}
	var file, head bytes.Buffer
	if _, err := head.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	w := gzip.NewWriter(&file)
	_, _ = w.Write(head.Bytes())
	_, _ = w.Write([]byte(line + "\n"))
	_ = w.Close()
	return file.Bytes()
}

// A few kilobytes of a file must not become gigabytes in memory. It measures, so nothing else may run beside it.
func TestASmallFileDoesNotFillTheMemory(t *testing.T) {
	const many = 2_000_000
	list := func(one string) string { return strings.Repeat(one+",", many) + one }
	for name, test := range map[string]struct{ line, want string }{
		"nodes":     {`{"now":"2026-01-01T12:00:00Z","nodes":[` + list(`{}`) + `]}`, "entries"},
		"shards":    {`{"now":"2026-01-01T12:00:00Z","nodes":[{"shards":[` + list(`{}`) + `]}]}`, "entries"},
		"pods":      {`{"now":"2026-01-01T12:00:00Z","nodes":[],"cluster":{"Pods":{` + list(`"":{}`) + `}}}`, "entries"},
		"many each": {`{"now":"2026-01-01T12:00:00Z","nodes":[` + strings.Repeat(`{"shards":[`+strings.Repeat(`{},`, 50_000)+`{}]},`, 50) + `{}]}`, "lists and objects"},
		"deep":      {`{"nodes":` + strings.Repeat("[", many) + `}`, "deep"},
		"long":      {`{"noPolicy":"` + strings.Repeat("a", 17<<20) + `"}`, "16 MiB"},
	} {
		file := swollen(t, test.line)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, frames, err := read(file)
		runtime.ReadMemStats(&after)
		if err == nil || len(frames) != 0 || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %d frames, error %v, want one that says %q", name, len(frames), err, test.want)
		}
		if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 160 {
			t.Errorf("%s: %d KiB of a file took %d MiB of memory", name, len(file)>>10, used)
		}
	}
}

func TestWhatLooksLikeAListInsideAStringIsNone(t *testing.T) {
	t.Parallel()
	f := recording.Frame{Model: fleetAt(noon, 1, 10)}
	f.Model.NoPolicy = strings.Repeat(`\"[{,`, 200_000)
	if _, frames, err := read(written(t, header(), f)); err != nil || len(frames) != 1 || frames[0].Model.NoPolicy != f.Model.NoPolicy {
		t.Errorf("%d frames, %v", len(frames), err)
	}
}

// Two decisions that claim to be centuries apart would make a recording that fills the disk.
func TestDecisionsOfAnotherCenturyAreLeftOut(t *testing.T) {
	t.Parallel()
	decisions := audited(story(policy.Default(), 400, swell))
	old := decisions[0]
	old.RefreshedAt = old.RefreshedAt.Add(-recording.MostAudit - time.Hour)
	want, _ := rebuild(t, decisions)
	done, _ := rebuild(t, append([]decision.Decision{old}, decisions...))
	if done.Skipped != 1 || done.Frames != want.Frames {
		t.Errorf("%d skipped and %d frames: want one left out, and %d", done.Skipped, done.Frames, want.Frames)
	}
}

func TestEveryPolicyOfARecordingTellsWhatWasChanged(t *testing.T) {
	t.Parallel()
	frames := story(policy.Default(), 100, swell)
	narrow := policy.Default()
	narrow.MinReplicas = 3
	frames[50].Policy = &narrow
	out := replayed(t, written(t, header(), frames...), "minReplicas=1")
	if got := strings.Join(out.Changed, ", "); !strings.Contains(got, "minReplicas 2 -> 1") || !strings.Contains(got, "minReplicas 3 -> 1") {
		t.Errorf("changed: %s: only one of the two recorded policies is told of", got)
	}
}
