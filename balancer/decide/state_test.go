package decide_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
)

// mostStateBytes is what a leader writes to Redis every second at the most, for a fleet of no size in particular.
const mostStateBytes = 48 << 10

func TestTheMemoryIsBounded(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]policy.Policy{"default": policy.Default(), "quick": quick()} {
		for _, pause := range []time.Duration{20 * time.Millisecond, 300 * time.Millisecond, time.Second, 7 * time.Second} {
			t.Run(fmt.Sprintf("%s policy every %s", name, pause), func(t *testing.T) {
				t.Parallel()
				var s decide.State
				for i := range 2500 {
					// Demand only ever falls and wobbles: the worst case for a window that keeps maxima.
					all := nodes(30, 1+(2500-i)/30)
					all[0].RefusedPerSecond = float64(i%7) / 3
					_, s = decide.Next(p, s, model(float64(i)*pause.Seconds(), all))
				}
				body, err := s.Encode()
				if err != nil {
					t.Fatal(err)
				}
				if len(body) > mostStateBytes {
					t.Fatalf("the memory has %d bytes after 2500 looks: it grows with how often it is asked", len(body))
				}
				if _, err := decide.DecodeState(body); err != nil {
					t.Fatalf("the next leader cannot read it: %v", err)
				}
			})
		}
	}
}

func TestAFreshMemoryCanBeHandedOver(t *testing.T) {
	t.Parallel()
	body, err := decide.State{}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s, err := decide.DecodeState(body)
	if err != nil || differ(s, decide.State{}) != "" {
		t.Fatalf("%s reads as %+v, %v", body, s, err)
	}
}

func TestAFalseMemoryIsRefused(t *testing.T) {
	t.Parallel()
	now := `"now":"2026-03-01T12:00:00Z"`
	micros := start.UnixMicro()
	cases := map[string]string{
		"nothing":                           ``,
		"another shape":                     `[]`,
		"a wrong type":                      `{"streak":"many"}`,
		"a decision without end":            `{"last":{"fleet":"a/b","sequence":3,"desired":4}}`,
		"an answer that stands without end": `{"decided":true,"last":{"fleet":"a/b","sequence":3,"desired":4}}`,
		"an answer without a sequence":      `{"decided":true,"last":{"fleet":"a/b","desired":4,"expiresAt":"2026-03-01T12:00:00Z"}}`,
		"an answer that does not stand":     `{"last":{"fleet":"a/b","sequence":3,"desired":4,"expiresAt":"2026-03-01T12:00:00Z"}}`,
		"a negative count":                  `{"decided":true,"last":{"fleet":"a/b","sequence":3,"desired":-4,"expiresAt":"2026-03-01T12:00:00Z"}}`,
		"a step in the future":              `{` + now + `,"lastIn":"2027-03-01T12:00:00Z"}`,
		"watched from the future":           `{` + now + `,"watched":"2027-03-01T12:00:00Z"}`,
		"a negative streak":                 `{` + now + `,"streak":-1}`,
		"an empty bucket":                   fmt.Sprintf(`{%s,"levels":[{"t":%d,"n":0,"c":5}]}`, now, micros),
		"a negative sum":                    fmt.Sprintf(`{%s,"levels":[{"t":%d,"n":1,"c":-5}]}`, now, micros),
		"an endless sum":                    fmt.Sprintf(`{%s,"trends":[{"t":%d,"n":1,"c":1e300}]}`, now, micros),
		"a need below nothing":              fmt.Sprintf(`{%s,"needs":[{"t":%d,"x":-1}]}`, now, micros),
		"a bucket of the future":            fmt.Sprintf(`{%s,"needs":[{"t":%d,"x":1}]}`, now, micros+1),
		"buckets out of order":              fmt.Sprintf(`{%s,"needs":[{"t":%d,"x":1},{"t":%d,"x":1}]}`, now, micros, micros),
		"more buckets than kept":            fmt.Sprintf(`{%s,"needs":[%s{"t":%d,"x":1}]}`, now, strings.Repeat(`{"t":1,"x":1},`, 300), micros),
	}
	for name, text := range cases {
		if _, err := decide.DecodeState([]byte(text)); err == nil {
			t.Errorf("%s is believed: a leader with a false memory decides falsely", name)
		}
	}
}

// FuzzDecodeState reads what may lie in Redis. A memory that is accepted is written and read again as it was, and drives
// decisions that KEDA may see, for several looks.
func FuzzDecodeState(f *testing.F) {
	var s decide.State
	// Short memories, since the fuzzer spends its time on making long ones shorter.
	for i := range 12 {
		_, s = decide.Next(quick(), s, model(float64(i), nodes(5, 20+i)))
		if i%6 == 0 {
			body, err := s.Encode()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(body)
		}
	}
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"now":"2026-03-01T12:00:00Z","streak":1048576,"snapshot":{"cpu":-1},"lastOut":"2026-03-01T11:59:59Z"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := decide.DecodeState(body)
		if err != nil {
			return
		}
		again, err := s.Encode()
		if err != nil {
			t.Fatalf("an accepted memory cannot be handed on: %v", err)
		}
		restored, err := decide.DecodeState(again)
		if err != nil || differ(s, restored) != "" {
			t.Fatalf("an accepted memory changes when it is handed on: %v", err)
		}
		for _, kind := range []policy.Kind{policy.Count, policy.Table} {
			p, memory := quick(), s
			p.Kind = kind
			for i := range 3 {
				before := memory.Last.Desired
				d, next := decide.Next(p, memory, model(float64(i), nodes(5, 20)))
				if _, err := d.Encode(); err != nil {
					t.Fatalf("an accepted memory makes a decision that cannot be told: %v", err)
				}
				if d.Desired > max(p.MaxReplicas, before) {
					t.Fatalf("an accepted memory asks for %d nodes, above the maximum", d.Desired)
				}
				memory = next
			}
		}
	})
}

// An upgrade must not take the readings of the build before for a fleet where all but a few wait: it would ask for many times
// the nodes at once.
func TestReadingsOfAnOlderBuildAreNotTakenForACrowdThatWaits(t *testing.T) {
	t.Parallel()
	body := []byte(`{"now":"2026-11-24T12:00:30Z","watched":"2026-11-24T11:00:00Z","lastOut":"0001-01-01T00:00:00Z","lastIn":"0001-01-01T00:00:00Z","streak":0,` +
		`"snapshot":{"cpu":0,"memory":0,"messages":0,"connections":0,"p95LatencyNanos":0},` +
		`"levels":[{"t":1795521620000000,"n":10,"c":100000,"m":50000,"u":50,"r":40}]}`)
	s, err := decide.DecodeState(body)
	if err != nil {
		t.Fatalf("the memory of the build before is refused: %v", err)
	}
	if len(s.Levels) > 0 {
		t.Fatalf("readings without anybody connected are kept: %+v", s.Levels)
	}
}
