package decide_test

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/internal/decision"
)

func TestOnlyADecisionThatRanOutLongAgoIsForgotten(t *testing.T) {
	t.Parallel()
	p := quick()
	s := tell(t, p)
	before := s.run(12, nodes(4, 85))
	cases := map[string]struct {
		after time.Duration
		gone  bool
	}{
		"it still stands":                            {-time.Second, false},
		"it ran out one scale-in delay ago":          {p.ScaleInDelay, false},
		"it ran out longer ago than that":            {p.ScaleInDelay + time.Millisecond, true},
		"the server's clock went far back meanwhile": {-10 * time.Hour, false},
	}
	for name, c := range cases {
		now := before.ExpiresAt.Add(c.after)
		got := decide.Revive(p, s.state, now)
		if !c.gone {
			if diff := differ(s.state, got); diff != "" {
				t.Errorf("%s: the memory changed:\n%s", name, diff)
			}
			continue
		}
		if got.Decided || got.Last.Sequence != before.Sequence || got.Last.Desired != 0 {
			t.Errorf("%s: %+v is remembered, want the sequence %d alone", name, got, before.Sequence)
		}
		body, err := got.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decide.DecodeState(body); err != nil || differ(got, again) != "" {
			t.Errorf("%s: the next leader reads %+v, %v", name, again, err)
		}
	}
}

func TestARevivedMemoryIsUndecidedAndContinuesTheSequence(t *testing.T) {
	t.Parallel()
	p := quick()
	s := tell(t, p)
	before := s.run(12, nodes(9, 85))
	s.state = decide.Revive(p, s.state, before.ExpiresAt.Add(10*time.Hour))
	s.at = 40_000
	held := s.step(nodes(3, 5), unreachable)
	if held.Sequence != 0 || !held.Expired(model(s.at, nil).Now) {
		t.Fatalf("held at %d nodes until %s: an answer of yesterday is none", held.Desired, held.ExpiresAt)
	}
	s.step(nodes(3, 5))
	s.want(3, decision.ReasonFirst)
	if s.last.Sequence != before.Sequence+1 {
		t.Fatalf("sequence %d after %d: it must go on", s.last.Sequence, before.Sequence)
	}
	s.step(nodes(3, 5))
	if s.last.Sequence != before.Sequence+1 || s.last.Desired != 3 {
		t.Fatalf("sequence %d, %d nodes: decided again", s.last.Sequence, s.last.Desired)
	}
}
