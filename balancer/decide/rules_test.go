package decide_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

const (
	ticks = 60
	// spare is the policy's hysteresis and margin over one pod's 100 clients, written out so that the test does not ask the code.
	spare, margin, each = 0.93, 1.1, 100.0
)

// live runs a world for a while in either mode and hands each decision, with what it was made from, to judge.
func live(t *rapid.T, judge func(p policy.Policy, before decide.State, f load.Fleet, d decision.Decision, after decide.State)) {
	p := drawn(t)
	p.Kind = rapid.SampledFrom([]policy.Kind{policy.Count, policy.Count, policy.Table}).Draw(t, "kind")
	w := newWorld(t, p)
	var s decide.State
	for range ticks {
		f := w.tick(t)
		d, next := decide.Next(p, s, f)
		judge(p, s, f, d, next)
		if err := d.Validate(); err != nil {
			t.Fatalf("KEDA would be told nonsense: %v", err)
		}
		w.obey(t, d)
		s = next
	}
}

func decided(s decide.State) bool { return s.Decided }

// broken says that the test's world made the node send nonsense.
func broken(n load.Node) bool { return math.IsNaN(n.CPU) }

func stales(f load.Fleet) (stale, known int) {
	for _, n := range f.Nodes {
		known++
		if n.Stale || broken(n) {
			stale++
		}
	}
	return stale, known
}

func countState(f load.Fleet, states ...fleet.State) int {
	n := 0
	for _, node := range f.Nodes {
		if slices.Contains(states, node.State) {
			n++
		}
	}
	return n
}

func TestRule2AskingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		live(t, func(p policy.Policy, before decide.State, f load.Fleet, d decision.Decision, after decide.State) {
			same, unchanged := decide.Next(p, after, f)
			if !held(d) {
				if diff := differ(d, same); diff != "" {
					t.Fatalf("the second poll got another answer, so five KEDA replicas would scale five times:\n%s", diff)
				}
			}
			if diff := differ(after, unchanged); diff != "" {
				t.Fatalf("being asked changed the memory:\n%s", diff)
			}
			again, _ := decide.Next(p, before, f)
			if diff := differ(d, again); diff != "" {
				t.Fatalf("two leaders with one memory and one model decide apart:\n%s", diff)
			}
			switch moved := !decided(before) || d.Desired != before.Last.Desired; {
			case !decided(after):
			case moved && d.Sequence != before.Last.Sequence+1:
				t.Fatalf("Desired went from %d to %d but the sequence from %d to %d: KEDA would not be woken", before.Last.Desired, d.Desired, before.Last.Sequence, d.Sequence)
			case !moved && d.Sequence != before.Last.Sequence:
				t.Fatalf("Desired stayed at %d but the sequence went from %d to %d: KEDA would be woken for nothing", d.Desired, before.Last.Sequence, d.Sequence)
			}
		})
	})
}

func held(d decision.Decision) bool {
	return d.Reason == decision.ReasonHoldStale || d.Reason == decision.ReasonHoldNoRedis
}

func TestRule3ConstantLoadAndNoStartNeverRaisesTheTarget(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawn(t)
		all := nodes(rapid.IntRange(0, 12).Draw(t, "nodes"), 0)
		for i := range all {
			all[i] = serving(string(all[i].Node), rapid.IntRange(0, 400).Draw(t, "clients"))
			all[i].RefusedPerSecond = rapid.Float64Range(0, 20).Draw(t, "refused")
			all[i].State = rapid.SampledFrom([]fleet.State{fleet.Serving, fleet.Serving, fleet.Serving, fleet.Draining, fleet.Leaving}).Draw(t, "state")
		}
		var s decide.State
		at, first := 0.0, 0
		for i := range ticks {
			at += rapid.Float64Range(0.1, 4).Draw(t, "seconds")
			f := model(at, all)
			f.Pending = max(0, s.Last.Desired-len(all))
			f.Stuck = rapid.IntRange(0, f.Pending).Draw(t, "stuck")
			var d decision.Decision
			d, s = decide.Next(p, s, f)
			if i == 0 {
				first = d.Desired
			}
			if d.Desired > first {
				t.Fatalf("the target rose from %d to %d while the load stood still and no pod started: it would end at the maximum\n%s", first, d.Desired, d.Note)
			}
		}
	})
}

func TestRule3TableModeDoesNotMultiplyPodsThatDoNotStart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := quick()
		p.Kind = policy.Table
		all := nodes(rapid.IntRange(1, 12).Draw(t, "nodes"), 150)
		var s decide.State
		highest := 0
		for i := range 3 * ticks {
			f := model(float64(i), all)
			f.Pending = max(0, s.Last.Desired-len(all))
			if rapid.Bool().Draw(t, "given up") {
				f.Stuck = f.Pending
			}
			before := s.Last.Desired
			var d decision.Decision
			d, s = decide.Next(p, s, f)
			if i > 0 && f.Pending > f.Stuck && d.Desired != before {
				t.Fatalf("the target went from %d to %d while %d pods start: their effect is not known yet", before, d.Desired, f.Pending)
			}
			highest = max(highest, d.Desired)
		}
		if most := max(p.MinReplicas, len(all)) + p.Steps.Most; highest > most {
			t.Fatalf("the target reached %d with %d serving: at most %d may be asked for, however long it lasts", highest, len(all), most)
		}
	})
}

func TestRule4MissingDataNeverScalesIn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		live(t, func(_ policy.Policy, before decide.State, f load.Fleet, d decision.Decision, after decide.State) {
			if !decided(before) {
				return
			}
			stale, known := stales(f)
			if d.Desired < before.Last.Desired && (stale > 0 || !f.Reachable || f.Now.Before(before.Now)) {
				t.Fatalf("scaled in from %d to %d with %d of %d nodes stale, reachable %t: a missing node is not missing load",
					before.Last.Desired, d.Desired, stale, known, f.Reachable)
			}
			if f.Reachable && float64(stale) <= 0.25*float64(known) {
				if !d.ExpiresAt.Equal(f.Now.Add(20 * time.Second)) {
					t.Fatalf("fresh data did not renew the answer: it expires at %s, now is %s", d.ExpiresAt, f.Now)
				}
				return
			}
			last := before.Last
			if d.Desired != last.Desired || d.Sequence != last.Sequence || !d.ExpiresAt.Equal(last.ExpiresAt) || !d.RefreshedAt.Equal(last.RefreshedAt) || !slices.Equal(d.Victims, last.Victims) {
				t.Fatalf("with %d of %d nodes stale, reachable %t, the decision moved: %d until %s, was %d until %s", stale, known, f.Reachable, d.Desired, d.ExpiresAt, last.Desired, last.ExpiresAt)
			}
			if !held(d) {
				t.Fatalf("a held decision gives the reason %q: nobody would learn that data is missing", d.Reason)
			}
			if diff := differ(before, after); diff != "" {
				t.Fatalf("data that cannot be trusted was remembered:\n%s", diff)
			}
		})
	})
}

func TestRule5ScaleInStaysInsideTheBudgetAndWhatStaysCanCarry(t *testing.T) {
	t.Parallel()
	falls := 0
	rapid.Check(t, func(t *rapid.T) {
		live(t, func(p policy.Policy, before decide.State, f load.Fleet, d decision.Decision, _ decide.State) {
			if !decided(before) || d.Desired >= before.Last.Desired {
				return
			}
			falls++
			if starting := countState(f, fleet.Starting) + f.Pending - f.Stuck; starting > 0 && !allStuck(p, f) {
				t.Fatalf("scaled in to %d while %d start: they were asked for a moment ago", d.Desired, starting)
			}
			alive := countState(f, fleet.Starting, fleet.Serving, fleet.Leaving)
			leaving := countState(f, fleet.Draining) + max(0, alive-d.Desired)
			if budget := p.Budget(min(alive, before.Last.Desired)); leaving > budget {
				t.Fatalf("%d nodes leave or drain at once after scaling in to %d of %d, the budget is %d: too many sessions move together", leaving, d.Desired, alive, budget)
			}
			if wait := f.Now.Sub(before.LastIn); !before.LastIn.IsZero() && wait < p.ScaleInStep {
				t.Fatalf("two steps in within %s", wait)
			}
			if p.Kind == policy.Count {
				carried(t, f, d)
			}
		})
	})
	if falls < 10 {
		t.Fatalf("only %d scale-ins were seen: the property was not tested", falls)
	}
}

// carried checks that the nodes which stay have room for every client there is.
func carried(t *rapid.T, f load.Fleet, d decision.Decision) {
	clients, stay := 0.0, 0
	for _, n := range f.Nodes {
		clients += float64(n.Connections)
		if n.State == fleet.Serving && !slices.Contains(d.Victims, n.Node) {
			stay++
		}
	}
	// The level is a mean of a few seconds that began on the same clients or more; what is checked is what it came to.
	need := d.Working.Demand * margin / each
	if w := d.Working; w.Capacity.LearnedCPU || w.Margin != margin {
		need = w.Demand * w.Margin / w.ConnectionsPerPod
	}
	if !(need < spare*float64(min(stay, d.Desired))) {
		t.Fatalf("scaled in to %d although %d staying nodes cannot carry a need of %.2f (%.0f clients now)", d.Desired, stay, need, clients)
	}
}

// allStuck says that every starting node has been starting for too long.
func allStuck(p policy.Policy, f load.Fleet) bool {
	for _, n := range f.Nodes {
		if n.State == fleet.Starting && f.Now.Sub(n.Since) <= p.StartTimeout {
			return false
		}
	}
	return f.Pending == f.Stuck
}

func TestRule6WhoLeavesHasTheLeastToLoseAndIsNotSwapped(t *testing.T) {
	t.Parallel()
	named := 0
	rapid.Check(t, func(t *rapid.T) {
		live(t, func(_ policy.Policy, before decide.State, f load.Fleet, d decision.Decision, _ decide.State) {
			if held(d) || f.Now.Equal(before.Now) {
				// Nothing new is decided: a clock that steps back can land on the moment that was decided on.
				return
			}
			kept := stillThere(f, before.Last.Victims)
			alive := countState(f, fleet.Starting, fleet.Serving, fleet.Leaving)
			excess := max(0, alive-d.Desired)
			if len(d.Victims) > excess {
				t.Fatalf("%v are told to leave although only %d of %d are too many", d.Victims, excess, alive)
			}
			kept = kept[:min(len(kept), excess)]
			if len(d.Victims) < len(kept) || !slices.Equal(d.Victims[:len(kept)], kept) {
				t.Fatalf("nominations went from %v to %v: shards that already moved would have to move back", before.Last.Victims, d.Victims)
			}
			for _, id := range d.Victims[len(kept):] {
				named++
				leastToLose(t, f, d, id)
			}
		})
	})
	if named < 10 {
		t.Fatalf("only %d nominations were seen: the property was not tested", named)
	}
}

func stillThere(f load.Fleet, victims []fleet.NodeID) []fleet.NodeID {
	var out []fleet.NodeID
	for _, id := range victims {
		for _, n := range f.Nodes {
			if n.Node == id && n.State != fleet.Draining && n.State != fleet.Gone {
				out = append(out, id)
			}
		}
	}
	return out
}

func leastToLose(t *rapid.T, f load.Fleet, d decision.Decision, id fleet.NodeID) {
	i := slices.IndexFunc(f.Nodes, func(n load.Node) bool { return n.Node == id })
	leaver := f.Nodes[i]
	for _, n := range f.Nodes {
		if slices.Contains(d.Victims, n.Node) || n.State == fleet.Draining {
			continue
		}
		if n.State == fleet.Starting && leaver.State != fleet.Starting {
			t.Fatalf("%s with %d clients is to leave while %s does not even serve", id, leaver.Connections, n.Node)
		}
		if n.State == leaver.State && n.Connections < leaver.Connections {
			t.Fatalf("%s with %d clients is to leave while %s has only %d", id, leaver.Connections, n.Node, n.Connections)
		}
	}
}
