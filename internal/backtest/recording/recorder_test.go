package recording_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest/recording"
)

// eye shows one sight after the other, and the last for ever.
type eye struct {
	sights []recording.Sight
	looks  int
	memory []byte
	err    error
}

func (e *eye) Look(context.Context) recording.Sight {
	i := min(e.looks, len(e.sights)-1)
	e.looks++
	s := e.sights[i]
	if !s.Model.Now.IsZero() {
		s.Model.Now = noon.Add(time.Duration(e.looks) * time.Second)
	}
	return s
}

func (e *eye) Memory(context.Context) ([]byte, error) { return e.memory, e.err }

func sights(n int) []recording.Sight {
	var out []recording.Sight
	for _, f := range story(policy.Default(), n, func(int) int { return 100 }) {
		out = append(out, recording.Sight{Model: f.Model, Decision: f.Decision, Policy: policy.Default()})
	}
	return out
}

func record(t *testing.T, e *eye, lasts time.Duration) (recording.Progress, []byte, error) {
	t.Helper()
	var file bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	done, err := recording.Recorder{Fleet: chat, Every: time.Second}.Run(ctx, e, &file)
	return done, file.Bytes(), err
}

func TestARecorderThatIsStoppedLeavesACompleteFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &eye{sights: sights(3), memory: []byte(`{"now":"2026-01-01T12:00:00Z"}`)}
		done, file, err := record(t, e, 9500*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		h, frames, err := read(file)
		if err != nil || len(frames) != 10 || done.Frames != 10 || done.Bytes != int64(len(file)) {
			t.Errorf("%d frames and %d bytes of %d, told are %d: %v", len(frames), done.Bytes, len(file), done.Frames, err)
		}
		if string(h.Memory) != string(e.memory) || !h.Began.Equal(frames[0].Model.Now) {
			t.Errorf("the header begins at %s with memory %s", h.Began, h.Memory)
		}
		if done.Nodes != 4 || done.Clients != 400 || done.Until.Sub(done.From) != 9*time.Second {
			t.Errorf("progress says %+v", done)
		}
	})
}

func TestARecorderWaitsForTheFirstReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waiting := make([]recording.Sight, 5) // Redis does not answer yet
		done, file, err := record(t, &eye{sights: append(waiting, sights(1)...)}, 7500*time.Millisecond)
		if _, frames, end := read(file); err != nil || end != nil || len(frames) != 3 || done.Frames != 3 {
			t.Errorf("%d frames, %v, %v: want those since Redis answers", len(frames), err, end)
		}
		done, file, err = record(t, &eye{sights: waiting}, 3*time.Second)
		if err != nil || len(file) != 0 || done.Frames != 0 {
			t.Errorf("nothing was seen: %d bytes, %d frames, %v", len(file), done.Frames, err)
		}
	})
}

func TestARecorderFollowsAPolicyThatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := sights(6)
		for i := range seen[3:] {
			seen[3+i].Policy.MaxReplicas = 9
		}
		_, file, err := record(t, &eye{sights: seen}, 5500*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		h, frames, err := read(file)
		if err != nil || h.Policy.MaxReplicas != 50 {
			t.Fatalf("began with %d, %v", h.Policy.MaxReplicas, err)
		}
		for i, f := range frames {
			if (f.Policy != nil) != (i == 3) {
				t.Errorf("frame %d names a policy: %v, want the one at which it changed", i, f.Policy != nil)
			}
		}
	})
}

func TestAReadingThatNobodyCouldDecideOnIsLeftOutAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := sights(4)
		seen[1].Model.Nodes[0].CPU = math.NaN()
		seen[1].Policy.MaxReplicas = 9
		for i := range seen[2:] {
			seen[2+i].Policy.MaxReplicas = 9
		}
		done, file, err := record(t, &eye{sights: seen}, 3500*time.Millisecond)
		_, frames, end := read(file)
		if err != nil || end != nil || len(frames) != 3 || done.Skipped != 1 || done.Problem == "" {
			t.Fatalf("%d frames, %d skipped (%s), %v, %v", len(frames), done.Skipped, done.Problem, err, end)
		}
		if frames[1].Policy == nil {
			t.Error("the change of policy was lost with the reading that was left out")
		}
	})
}

// full is a disk without room after so many bytes.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errors.New("no space left")
	}
	return len(p), nil
}

func TestADiskThatIsFullEndsTheRecordingWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := recording.Recorder{Fleet: chat, Every: time.Second}.Run(ctx, &eye{sights: sights(1)}, &full{room: 3000})
		if err == nil || ctx.Err() != nil {
			t.Errorf("%v: it went on for an hour without writing", err)
		}
		if _, err := (recording.Recorder{Fleet: chat, Every: time.Second}).Run(ctx, &eye{sights: sights(1), err: errors.New("no Redis")}, &full{}); err == nil {
			t.Error("Redis cannot be read, and nobody is told")
		}
	})
}
