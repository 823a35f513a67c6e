package stamp

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func pod(name string) Pod                 { return Pod{Name: name} }
func early(name string) Pod               { return Pod{Name: name, Early: true} }
func costing(name string, cost int32) Pod { return Pod{Name: name, Marked: true, Cost: cost} }

// stamped is a pod that was stamped some time ago for a target.
func stamped(name string, place int, ago time.Duration, target int) Pod {
	return costing(name, encode(place, now.Add(-ago), target))
}

func TestWhoIsStampedAndWhoIsCleared(t *testing.T) {
	const moment, longAgo = 200 * time.Millisecond, 5 * time.Minute
	cases := []struct {
		name    string
		pods    []Pod
		target  int
		order   []string
		victims []string
		set     []string
		clear   []string
		missing int
		unnamed int
	}{
		{
			name: "one of three leaves: the balancer's first",
			pods: []Pod{pod("a"), pod("b"), pod("c")}, target: 2, order: []string{"b", "a", "c"},
			victims: []string{"b"}, set: []string{"b"}, missing: 1,
		},
		{
			name: "six to two at once: four leave",
			pods: []Pod{pod("a"), pod("b"), pod("c"), pod("d"), pod("e"), pod("f")}, target: 2, order: []string{"f", "d", "b", "a", "c", "e"},
			victims: []string{"f", "d", "b", "a"}, set: []string{"f", "d", "b", "a"}, missing: 4,
		},
		{
			name: "a pod that does not serve goes first, so nobody is stamped",
			pods: []Pod{pod("a"), early("b"), pod("c")}, target: 2, order: []string{"a"},
		},
		{
			name: "one that does not serve and one that does",
			pods: []Pod{pod("a"), early("b"), pod("c")}, target: 1, order: []string{"c", "b", "a"},
			victims: []string{"c"}, set: []string{"c"}, missing: 1,
		},
		{
			name: "a stamp of a scale-in that never happened is cleared",
			pods: []Pod{stamped("a", 0, longAgo, 2), pod("b"), pod("c")}, target: 2, order: []string{"b", "a", "c"},
			victims: []string{"b"}, set: []string{"b"}, clear: []string{"a"}, missing: 1,
		},
		{
			name: "an old stamp is cleared even when only a pod that does not serve leaves: it may be ready by then",
			pods: []Pod{stamped("a", 0, longAgo, 2), early("b"), pod("c")}, target: 2,
			clear: []string{"a"},
		},
		{
			name: "a victim that carries an old stamp gets a new one, by which it is known when it is admitted again",
			pods: []Pod{stamped("a", 3, longAgo, 2), pod("b"), pod("c")}, target: 2, order: []string{"a", "b", "c"},
			victims: []string{"a"}, set: []string{"a"}, missing: 1,
		},
		{
			name: "the same scale-in again keeps its victim, whatever the balancer says now",
			pods: []Pod{stamped("a", 0, moment, 2), pod("b"), pod("c")}, target: 2, order: []string{"b", "a", "c"},
			victims: []string{"a"},
		},
		{
			name: "the same count again three seconds later is another scale-in, and chooses anew",
			pods: []Pod{stamped("a", 0, 3*time.Second, 2), pod("b"), pod("c")}, target: 2, order: []string{"b", "a", "c"},
			victims: []string{"b"}, set: []string{"b"}, clear: []string{"a"}, missing: 1,
		},
		{
			name: "another scale-in a moment later chooses anew",
			pods: []Pod{stamped("a", 0, moment, 5), pod("b"), pod("c")}, target: 2, order: []string{"b", "a", "c"},
			victims: []string{"b"}, set: []string{"b"}, clear: []string{"a"}, missing: 1,
		},
		{
			name: "the same scale-in again with one victim gone names one more",
			pods: []Pod{pod("a"), stamped("b", 1, moment, 2), pod("c"), pod("d")}, target: 2, order: []string{"b", "d", "a", "c"},
			victims: []string{"b", "d"}, set: []string{"d"}, missing: 1,
		},
		{
			name: "the same scale-in again that needs fewer keeps the first and clears the rest",
			pods: []Pod{stamped("a", 1, moment, 2), stamped("b", 0, moment, 2), pod("c")}, target: 2,
			victims: []string{"b"}, clear: []string{"a"},
		},
		{
			name: "a user's negative cost goes first and is not touched",
			pods: []Pod{pod("a"), costing("b", -7), pod("c")}, target: 2, order: []string{"a", "b", "c"},
		},
		{
			name: "a user's negative cost takes one of two places",
			pods: []Pod{pod("a"), costing("b", -7), pod("c")}, target: 1, order: []string{"c", "b", "a"},
			victims: []string{"c"}, set: []string{"c"}, missing: 1,
		},
		{
			name: "a user's positive cost protects",
			pods: []Pod{costing("a", 100), pod("b"), pod("c")}, target: 2, order: []string{"a", "b", "c"},
			victims: []string{"b"}, set: []string{"b"}, missing: 1,
		},
		{
			name: "more leave than may be stamped: the rest goes as Kubernetes likes",
			pods: []Pod{costing("a", 100), costing("b", 0), pod("c")}, target: 1, order: []string{"a", "b", "c"},
			victims: []string{"c"}, set: []string{"c"}, missing: 2, unnamed: 1,
		},
		{
			name: "without a balancer who was chosen for the same target stays chosen, though its ReplicaSet is late",
			pods: []Pod{stamped("a", 0, longAgo, 1), pod("b"), pod("c")}, target: 1,
			victims: []string{"a"}, set: []string{"a"}, missing: 2, unnamed: 1,
		},
		{
			name: "without a balancer who was chosen for another target a short while ago stays chosen",
			pods: []Pod{stamped("a", 0, 50*time.Second, 2), pod("b"), pod("c")}, target: 1,
			victims: []string{"a"}, set: []string{"a"}, missing: 2, unnamed: 1,
		},
		{
			name: "without a balancer only the surplus is cleared: for the same target first, then the newest stay",
			pods: []Pod{stamped("a", 0, 20*time.Second, 9), stamped("b", 0, 30*time.Second, 2), stamped("c", 0, 10*time.Second, 9), pod("d")}, target: 2,
			victims: []string{"b", "c"}, set: []string{"b", "c"}, clear: []string{"a"}, missing: 2,
		},
		{
			name: "without a balancer older stamps go and nobody is named",
			pods: []Pod{stamped("a", 0, 2*time.Minute, 2), stamped("b", 0, 11*time.Minute, 1), pod("c")}, target: 1,
			clear: []string{"a", "b"}, missing: 2, unnamed: 2,
		},
		{
			name: "a stamp of half an hour ago, to the second at which the time in one once wrapped, is not of a moment ago",
			pods: []Pod{stamped("a", 0, 65536*25*time.Millisecond, 2), pod("b"), pod("c")}, target: 2, order: []string{"c", "a", "b"},
			victims: []string{"c"}, set: []string{"c"}, clear: []string{"a"}, missing: 1,
		},
		{
			name: "who carries a stamp of a moment ago and is not in the balancer's order is no victim",
			pods: []Pod{stamped("a", 0, moment, 1), pod("b"), pod("c")}, target: 1, order: []string{"c", "b"},
			victims: []string{"c", "b"}, set: []string{"c", "b"}, clear: []string{"a"}, missing: 1,
		},
		{
			name: "names of other ReplicaSets and names said twice are passed over",
			pods: []Pod{pod("a"), pod("b"), pod("c")}, target: 1, order: []string{"x", "b", "b", "y", "a"},
			victims: []string{"b", "a"}, set: []string{"b", "a"}, missing: 2,
		},
		{
			name: "everybody leaves: costs decide nothing",
			pods: []Pod{stamped("a", 0, longAgo, 1), pod("b")}, target: 0, order: []string{"b"},
		},
		{
			name: "nobody leaves: fewer pods are there than are to stay",
			pods: []Pod{stamped("a", 0, longAgo, 1), pod("b")}, target: 5, order: []string{"b"},
		},
		{
			name: "a negative target is read as zero",
			pods: []Pod{pod("a"), pod("b")}, target: -3, order: []string{"b"},
		},
		{name: "no pods at all", target: 1},
		{
			name: "a victim that stopped being ready counts as one that does not serve",
			pods: []Pod{{Name: "a", Early: true, Marked: true, Cost: encode(0, now.Add(-moment), 2)}, pod("b"), pod("c")}, target: 2,
		},
		{
			name: "among those that do not serve an old stamp decides nothing either",
			pods: []Pod{{Name: "a", Early: true, Marked: true, Cost: Lowest}, early("b"), pod("c")}, target: 2,
			clear: []string{"a"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := slices.Clone(c.pods)
			draft := ScaleIn{Pods: c.pods, Target: c.target, Now: now}.Begin()
			if draft.Missing != c.missing {
				t.Errorf("%d victims are missing, want %d", draft.Missing, c.missing)
			}
			plan := draft.Hold()
			if c.order != nil {
				plan = draft.Finish(c.order)
			}
			var set []string
			for i, s := range plan.Set {
				set = append(set, s.Pod)
				if !Ours(s.Cost) || i > 0 && s.Cost <= plan.Set[i-1].Cost {
					t.Errorf("%s gets the cost %d, which is not ours or not above the one before", s.Pod, s.Cost)
				}
			}
			if diff := cmp.Diff([][]string{c.victims, c.set, c.clear}, [][]string{plan.Victims, set, plan.Clear}); diff != "" {
				t.Errorf("victims, stamps and clearings (-want +got):\n%s", diff)
			}
			if plan.Unnamed != c.unnamed {
				t.Errorf("%d leave unnamed, want %d", plan.Unnamed, c.unnamed)
			}
			if !slices.Equal(before, c.pods) {
				t.Error("the input was changed")
			}
		})
	}
}

func TestAStampThatStaysSaysWhenItWasSet(t *testing.T) {
	pods := []Pod{stamped("a", 0, 150*time.Millisecond, 1), stamped("b", 1, 50*time.Millisecond, 1), pod("c")}
	plan := ScaleIn{Pods: pods, Target: 1, Now: now}.Begin().Hold()
	if age := now.Sub(plan.Settled); age <= 50*time.Millisecond-tick || age > 50*time.Millisecond {
		t.Errorf("the last stamp counts as %s old, want about 50ms: the scale-in would be held too long or not long enough", age)
	}
	plan = ScaleIn{Pods: []Pod{stamped("a", 0, 5*time.Minute, 1), pod("b")}, Target: 1, Now: now}.Begin().Finish([]string{"a"})
	if !plan.Settled.IsZero() {
		t.Error("a scale-in waits for a stamp that has been there for minutes")
	}
}

func TestAClockThatIsAheadDoesNotChangeVictims(t *testing.T) {
	pods := []Pod{stamped("a", 0, -500*time.Millisecond, 1), pod("b")}
	if plan := (ScaleIn{Pods: pods, Target: 1, Now: now}).Begin().Finish([]string{"b", "a"}); len(plan.Set)+len(plan.Clear) > 0 {
		t.Errorf("a replica whose clock is half a second behind stamps anew: %+v", plan)
	}
}

func BenchmarkPlanFor1000Pods(b *testing.B) {
	var pods []Pod
	var order []string
	for i := range 1000 {
		name := fmt.Sprintf("socket-7d9f6c5b4-%05d", i)
		pods, order = append(pods, pod(name)), append(order, name)
	}
	slices.Reverse(order)
	for b.Loop() {
		plan := ScaleIn{Pods: pods, Target: 500, Now: now}.Begin().Finish(order)
		if len(plan.Set) != 500 {
			b.Fatal("the plan is wrong")
		}
	}
}
