package drain_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/socket/drain"
)

func TestHowFastClientsFollowTheirShard(t *testing.T) {
	t.Parallel()
	usual := drain.Leisure{Calm: 0.8, Hot: 0.9, Spread: 100 * time.Second, Longest: time.Hour}
	tests := map[string]struct {
		leisure             drain.Leisure
		use, clients, late  float64
		least, most         float64
		becauseOtherwiseThe string
	}{
		"a calm node sends nobody":                     {usual, 0.79, 1000, 0, 0, 0, "clients are moved who would have gone by themselves"},
		"a warm node sends a few":                      {usual, 0.85, 1000, 0, 9.9, 10.1, "node gets hot before its joiner has taken anything"},
		"a node that is nearly hot sends most of them": {usual, 0.899, 1000, 0, 900, 1100, "pace jumps when the node gets hot"},
		"a hot node goes by the pace alone":            {usual, 0.9, 1000, 0, math.Inf(1), math.Inf(1), "hot node stays hot"},
		"who has stayed too long goes from a calm node": {
			usual, 0.1, 1000, 500, 4.9, 5.1,
			"shard is read by two nodes for ever",
		},
		"the last of them go too":           {usual, 0.1, 1000, 2, 1, 1, "shard is read by two nodes for ever"},
		"a use that is no number is hot":    {usual, math.NaN(), 1000, 0, math.Inf(1), math.Inf(1), "node that cannot measure itself keeps clients it cannot bear"},
		"without a longest stay all go now": {drain.Leisure{}, 0.1, 1000, 0, math.Inf(1), math.Inf(1), "operator's word is not taken"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tt.leisure.Rate(tt.use, tt.clients, tt.late); !(got >= tt.least && got <= tt.most) {
				t.Errorf("%.2f clients a second go, want %.2f to %.2f: otherwise the %s", got, tt.least, tt.most, tt.becauseOtherwiseThe)
			}
		})
	}
}

func TestAWarmerNodeNeverSendsFewer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := drain.Leisurely(drain.LongestStay)
		clients := rapid.Float64Range(0, 1e5).Draw(t, "clients")
		late := rapid.Float64Range(0, clients).Draw(t, "late")
		cool := rapid.Float64Range(0, 1.2).Draw(t, "cool")
		warm := rapid.Float64Range(cool, 1.3).Draw(t, "warm")
		if a, b := l.Rate(cool, clients, late), l.Rate(warm, clients, late); a > b || a < 0 {
			t.Fatalf("at %.3f the node sends %.2f a second, at %.3f only %.2f", cool, a, warm, b)
		}
	})
}

func TestOneSecondOfNoiseIsNoHeat(t *testing.T) {
	t.Parallel()
	l, use := drain.Leisurely(drain.LongestStay), 0.6
	if use = drain.Follow(use, 1, time.Second); use >= l.Calm {
		t.Errorf("one busy second makes the node count as %.2f busy: it would send clients away for it", use)
	}
	for range 30 {
		use = drain.Follow(use, 1, time.Second)
	}
	if use < l.Hot {
		t.Errorf("after half a minute at its limit the node counts as %.2f busy: it would keep clients it cannot bear", use)
	}
}

func TestLeisureSlowsTellingAndNothingElse(t *testing.T) {
	t.Parallel()
	limits := drain.Limits{Rate: 100, Patience: 10 * time.Second}
	s := drain.Situation{Ready: 1000, Told: 500, Due: 500, Left: 24 * time.Hour, Since: time.Second, Targets: 1, Sources: 1, Most: 7}
	step, _ := drain.Next(limits, drain.Credit{}, s)
	if step.Tell != 7 || step.Close != 100 || step.Forced {
		t.Errorf("the step is %+v, want 7 told, and 100 of those told before closed, as the pace allows", step)
	}
	s.Most = math.Inf(1)
	if step, _ = drain.Next(limits, drain.Credit{}, s); step.Tell != 100 {
		t.Errorf("%d are told, want the pace's 100", step.Tell)
	}
}
