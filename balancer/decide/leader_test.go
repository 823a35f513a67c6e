package decide_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/load"
)

func TestANewLeaderContinuesWithTheSameDecisions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		handed := decide.State{}
		live(t, func(p policy.Policy, _ decide.State, f load.Fleet, d decision.Decision, after decide.State) {
			handsOver := rapid.IntRange(0, 4).Draw(t, "handover") == 0
			if handsOver {
				handed = handOver(t, handed)
			}
			got, next := decide.Next(p, handed, f)
			if diff := differ(d, got); diff != "" {
				t.Fatalf("a leader change changes the decision:\n%s", diff)
			}
			if handsOver {
				if wrote, would := written(t, after), written(t, next); wrote != would {
					t.Fatalf("a leader change changes what is remembered:\n%s", cmp.Diff(wrote, would))
				}
			}
			handed = next
		})
	})
}

// written is the memory as the next leader would find it.
func written(t *rapid.T, s decide.State) string {
	restored := handOver(t, s)
	body, err := restored.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// handOver takes the memory through Redis, as a change of leader does.
func handOver(t *rapid.T, s decide.State) decide.State {
	body, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	restored, err := decide.DecodeState(body)
	if err != nil {
		t.Fatalf("the memory that one leader wrote is refused by the next: %v", err)
	}
	return restored
}

func TestServerTimeRules(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		// The same readings from a server whose clock is off by some hours.
		off := time.Duration(rapid.IntRange(-5000, 5000).Draw(t, "off")) * time.Hour
		var elsewhere decide.State
		live(t, func(p policy.Policy, _ decide.State, f load.Fleet, d decision.Decision, _ decide.State) {
			f.Now = f.Now.Add(off)
			for i := range f.Nodes {
				f.Nodes[i].Since = f.Nodes[i].Since.Add(off)
			}
			var got decision.Decision
			got, elsewhere = decide.Next(p, elsewhere, f)
			if fmt.Sprint(got.Desired, got.Victims, got.LimitedBy, got.Reason, got.Sequence) != fmt.Sprint(d.Desired, d.Victims, d.LimitedBy, d.Reason, d.Sequence) {
				t.Fatalf("a clock that is off by %s decides %d (%s), the right one %d (%s)", off, got.Desired, got.Note, d.Desired, d.Note)
			}
		})
	})
}
