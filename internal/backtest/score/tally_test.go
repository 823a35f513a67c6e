package score_test

import (
	"math"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/backtest/score"
)

func TestASecondIsBadForItsFirstReason(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		node score.Node
		bad  bool
	}{
		"at the limits":            {score.Node{CPU: 0.90, P95: 500 * time.Millisecond, Memory: 0.92}, false},
		"hot":                      {score.Node{CPU: 0.901}, true},
		"slow":                     {score.Node{P95: 501 * time.Millisecond}, true},
		"full":                     {score.Node{Memory: 0.93}, true},
		"hot, slow and full: once": {score.Node{CPU: 1, P95: time.Second, Memory: 1}, true},
	}
	for name, c := range cases {
		var tally score.Tally
		c.node.Clients = 10
		tally.Clients(c.node)
		tally.Clients(score.Node{Clients: 20})
		tally.Second(10, 2, 0, 0, 2)
		want := 10.0 / 40 // those who wait
		if c.bad {
			want = 20.0 / 40
		}
		s := tally.Score(4, 1)
		if math.Abs(s.Bad-want) > 1e-12 || s.ClientSeconds != 40 || c.node.Bad() != c.bad || s.Waiting != 0.25 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestReversalsAreChangesOfDirection(t *testing.T) {
	t.Parallel()
	for want, counts := range map[int][]int{
		0: {5, 5, 6, 7, 7, 9}, 1: {5, 6, 6, 5, 4}, 2: {5, 4, 4, 6, 5}, 3: {5, 6, 5, 6, 5},
	} {
		var tally score.Tally
		for _, n := range counts {
			tally.Second(0, n, 0, 0, n)
		}
		s := tally.Score(10, 3)
		if s.Reversals != want || s.PeakTarget < counts[0] || s.PeakNeed != 3 {
			t.Errorf("%v has %d reversals, want %d", counts, s.Reversals, want)
		}
		if perDay := s.ReversalsPerDay * float64(len(counts)) / 86400; math.Abs(perDay-float64(want)) > 1e-9 {
			t.Errorf("%v: %v reversals a day", counts, s.ReversalsPerDay)
		}
	}
}

func TestPodsAreMeasuredInTheOracles(t *testing.T) {
	t.Parallel()
	var tally score.Tally
	for range 10 {
		tally.Second(0, 6, 3, 1, 6)
	}
	if s := tally.Score(50, 5); s.Pods != 1.2 || s.PodSeconds != 60 || s.Moved != 30 || s.Cut != 10 || s.Seconds != 10 {
		t.Errorf("%+v", s)
	}
	if s := new(score.Tally).Score(0, 0); s.Pods != 0 || s.Bad != 0 || s.ReversalsPerDay != 0 {
		t.Errorf("a run of nothing scores %+v", s)
	}
}
