package recording_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest/recording"
)

func TestAFileThatEndsEarlyIsReadUpToThere(t *testing.T) {
	t.Parallel()
	frames := story(policy.Default(), 25, func(i int) int { return 100 + i })
	whole := written(t, header(), frames...)
	rapid.Check(t, func(t *rapid.T) {
		cut := rapid.IntRange(0, len(whole)-1).Draw(t, "bytes")
		_, got, err := read(whole[:cut])
		var early *recording.IncompleteError
		if !errors.As(err, &early) {
			if len(got) == 0 && err != nil {
				return // not even the header is there
			}
			t.Fatalf("%d of %d bytes: %d frames and %v: a file that was cut looks complete", cut, len(whole), len(got), err)
		}
		if early.Frames != len(got) || len(got) > 0 && !early.Until.Equal(got[len(got)-1].Model.Now) {
			t.Fatalf("it says %d frames until %s, read were %d", early.Frames, early.Until, len(got))
		}
		if diff := alike(frames[:len(got)], got); diff != "" {
			t.Fatalf("what is left differs from what was written:\n%s", diff)
		}
	})
}

func TestARecorderThatIsKilledLosesAFewSeconds(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	w, err := recording.NewWriter(&file, header())
	if err != nil {
		t.Fatal(err)
	}
	frames := story(policy.Default(), 100, func(int) int { return 100 })
	for _, f := range frames {
		if err := w.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	_, got, err := read(file.Bytes()) // and Close is never called
	if len(got) < 90 || err == nil || !strings.Contains(err.Error(), "readings up to 2026-01-01T12:01:") {
		t.Errorf("%d of 100 seconds are there (%v): a killed recorder loses more than ten", len(got), err)
	}
}

func TestAFileThatLostBytesInTheMiddleIsNeverTakenForWhole(t *testing.T) {
	t.Parallel()
	frames := story(policy.Default(), 15, func(i int) int { return 100 + i })
	whole := written(t, header(), frames...)
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(10, len(whole)-1).Draw(t, "byte")
		broken := bytes.Clone(whole)
		broken[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "mask"))
		if _, got, err := read(broken); err == nil && alike(frames, got) != "" {
			t.Fatalf("byte %d is wrong, and %d other frames were read as if nothing was", at, len(got))
		}
	})
}

func TestTheNextReadAfterAnEndIsTheSameEnd(t *testing.T) {
	t.Parallel()
	whole := written(t, header(), recording.Frame{Model: fleetAt(noon, 1, 10)})
	r, err := recording.Open(bytes.NewReader(whole[:len(whole)-4]))
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Next()
	if err != nil {
		t.Fatal(err)
	}
	_, first := r.Next()
	_, second := r.Next()
	if first == nil || !errors.Is(second, first) {
		t.Errorf("first %v, then %v", first, second)
	}
	if r.Header().Every != time.Second {
		t.Errorf("the header says every %s", r.Header().Every)
	}
}
