package decide_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

func unreachable(f *load.Fleet) { f.Reachable = false }

func TestRedisGoneHoldsTheDecisionUntilItExpires(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	before := s.run(12, nodes(4, 85))
	s.run(30, nil, unreachable)
	s.want(4, decision.ReasonHoldNoRedis)
	if !s.last.ExpiresAt.Equal(before.ExpiresAt) || !s.last.Expired(model(s.at, nil).Now) {
		t.Fatalf("held until %s, was %s: after that the fallback must take over", s.last.ExpiresAt, before.ExpiresAt)
	}
	if !strings.Contains(s.last.Note, "Redis could not be read") {
		t.Fatalf("note %q", s.last.Note)
	}
	s.step(nodes(4, 85))
	s.want(4, decision.ReasonBalanced)
	if s.last.Sequence != before.Sequence || s.last.Expired(model(s.at, nil).Now) {
		t.Fatalf("after the outage sequence %d until %s, want %d and a fresh answer", s.last.Sequence, s.last.ExpiresAt, before.Sequence)
	}
}

func TestALongOutageStartsTheWatchAnew(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	s.run(12, nodes(4, 85))
	s.run(30, nil, unreachable)
	s.run(7, nodes(4, 5))
	s.want(4, decision.ReasonBalanced)
	s.limited(decision.LimitDelay)
}

func TestMoreThanAQuarterStaleHolds(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	all := nodes(8, 85)
	s.run(12, all)
	all[0], all[1] = stale(all[0]), stale(all[1])
	s.step(nodes(8, 85))
	at := s.last.Desired
	s.run(20, all)
	if s.last.Desired != at || s.last.Reason == decision.ReasonHoldStale {
		t.Fatalf("two of eight are a quarter and not more: %d nodes for %s", s.last.Desired, s.last.Reason)
	}
	for i := range all {
		all[i].Connections = 150
	}
	s.run(4, all)
	if s.last.Desired <= at {
		t.Fatalf("a quarter may be stale and load still be met: %s", s.last.Note)
	}
	at = s.last.Desired
	expiry := s.last.ExpiresAt
	all[2] = stale(all[2])
	s.run(5, all)
	s.want(at, decision.ReasonHoldStale)
	if !s.last.ExpiresAt.Equal(expiry) || !strings.Contains(s.last.Note, "3 of 8 nodes") {
		t.Fatalf("held until %s, was %s: %s", s.last.ExpiresAt, expiry, s.last.Note)
	}
}

func TestAStaleNodeStillCarriesItsLastLoad(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	all := nodes(4, 85)
	s.run(12, all)
	all[0] = stale(all[0])
	s.run(10, all)
	if s.last.Inputs.Connections != 340 || s.last.Working.Demand != 340 || s.last.Inputs.Serving != 4 {
		t.Fatalf("inputs %+v: a missing node is not missing load", s.last.Inputs)
	}
}

func TestNoAnswerIsMadeUp(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]load.Fleet{
		"Redis was never reachable": {ID: chatID},
		"or not at this moment":     {ID: chatID, Now: start},
		"every node is stale":       {ID: chatID, Now: start, Reachable: true, Nodes: []load.Node{stale(serving("a", 5))}},
	} {
		d, s := decide.Next(quick(), decide.State{}, f)
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !d.Expired(f.Now) && !f.Now.IsZero() || !d.Expired(start) || d.Sequence != 0 {
			t.Errorf("%s: answer %d until %s, sequence %d: nobody may act on a guess", name, d.Desired, d.ExpiresAt, d.Sequence)
		}
		if differ(s, decide.State{}) != "" {
			t.Errorf("%s: something was remembered: %+v", name, s)
		}
	}
}

func TestDeadNodesLeaveTheCountAlone(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	s.run(12, nodes(8, 85))
	at := s.last.Desired
	// Half the fleet dies with its clients; they are forgotten at once, and Kubernetes makes new pods that take a while.
	s.run(25, nodes(4, 85), func(f *load.Fleet) { f.Pending = 4 })
	if s.last.Desired != at {
		t.Fatalf("went from %d to %d because nodes died: they are missing, not superfluous", at, s.last.Desired)
	}
	s.run(25, nil)
	if s.last.Desired != at {
		t.Fatalf("went to %d when the whole fleet died", s.last.Desired)
	}
}

func TestAClockThatStepsBackTakesNothingAwayAndBlocksNothingForLong(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	all := nodes(6, 85)
	s.run(12, all)
	s.run(7, nodes(6, 10))
	s.at -= 3600
	s.step(nodes(6, 10))
	s.want(6, decision.ReasonBalanced)
	if !s.last.ExpiresAt.Equal(model(s.at, nil).Now.Add(s.p.DecisionTTL)) || s.last.At.After(s.last.RefreshedAt) {
		t.Fatalf("decided at %s, refreshed %s, expires %s with the clock at %s", s.last.At, s.last.RefreshedAt, s.last.ExpiresAt, model(s.at, nil).Now)
	}
	s.run(6, nodes(6, 10))
	if s.last.Desired >= 6 {
		t.Fatalf("an hour's step back keeps the fleet large: %s", s.last.Note)
	}
	s.run(3, nodes(6, 150))
	if s.last.Desired < 9 {
		t.Fatalf("after an hour's step back load is not met: %s", s.last.Note)
	}
}

func TestAClockThatStepsAheadTakesNothingAway(t *testing.T) {
	t.Parallel()
	for _, kind := range []policy.Kind{policy.Count, policy.Table} {
		p := quick()
		p.Kind = kind
		s := tell(t, p)
		s.run(12, nodes(6, 85))
		at := s.last.Desired
		s.at += 3600
		s.run(7, nodes(6, 10))
		if s.last.Desired != at {
			t.Fatalf("%s: an hour that nobody watched passed for an hour of quiet: from %d to %d", kind, at, s.last.Desired)
		}
	}
}

func TestOneMomentIsDecidedOnOnce(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	before := s.run(5, nodes(4, 85))
	s.at--
	if d := s.step(nodes(9, 200)); differ(before, d) != "" {
		t.Fatalf("two models of one moment gave two decisions, %d and %d: which one counts would depend on who asked", before.Desired, d.Desired)
	}
	if s.step(nodes(9, 200)); s.last.Desired <= before.Desired {
		t.Fatalf("a second later the load is still not met: %s", s.last.Note)
	}
}

func TestNonsenseNeverReachesTheCount(t *testing.T) {
	t.Parallel()
	absurd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, -math.MaxFloat64, math.MaxFloat64}
	poisons := map[string]func(*load.Node, float64){
		"cpu":         func(n *load.Node, x float64) { n.CPU = x },
		"memory":      func(n *load.Node, x float64) { n.Memory = x },
		"messages":    func(n *load.Node, x float64) { n.MessagesPerSecond = x },
		"refused":     func(n *load.Node, x float64) { n.RefusedPerSecond = x },
		"connections": func(n *load.Node, x float64) { n.Connections = int(math.Copysign(math.MaxInt64, x)) },
		"latency":     func(n *load.Node, x float64) { n.P95Latency = time.Duration(math.Copysign(math.MaxInt64, x)) },
		"lag":         func(n *load.Node, x float64) { n.InboxLag = time.Duration(math.Copysign(math.MaxInt64, x)) },
	}
	for field, poison := range poisons {
		for _, x := range absurd {
			for _, state := range []fleet.State{fleet.Serving, fleet.Starting, fleet.Draining, fleet.Leaving, fleet.State(99)} {
				s := tell(t, quick())
				all := nodes(8, 50)
				s.run(3, all)
				all[3].State = state
				poison(&all[3], x)
				s.run(20, all)
				if s.last.Desired != 8 || s.last.Inputs.Stale != 1 {
					t.Fatalf("%s of %v on a %s node: %d nodes, %d stale; want 8 held in place by one that cannot be believed\n%s", field, x, state, s.last.Desired, s.last.Inputs.Stale, s.last.Note)
				}
				if _, err := s.last.Encode(); err != nil {
					t.Fatalf("%s of %v: the decision cannot be written: %v", field, x, err)
				}
			}
		}
	}
}

func TestCountsThatNoClusterHas(t *testing.T) {
	t.Parallel()
	for _, pending := range []int{-5, math.MinInt, math.MaxInt} {
		for _, stuck := range []int{-5, math.MinInt, math.MaxInt} {
			d, _ := decide.Next(quick(), decide.State{}, load.Fleet{ID: chatID, Now: start, Reachable: true, Pending: pending, Stuck: stuck})
			if err := d.Validate(); err != nil || d.Desired < 2 {
				t.Errorf("%d pending, %d stuck: %d nodes, %v", pending, stuck, d.Desired, err)
			}
		}
	}
}

func TestLoadWithoutEndStopsAtTheMaximum(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	s.run(5, nodes(3, math.MaxInt32))
	s.want(50, decision.ReasonOverload)
	s.limited(decision.LimitMax)
}
