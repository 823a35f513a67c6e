package backtest_test

import (
	"cmp"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest/oracle"
	"github.com/tidegate/tidegate/internal/backtest/rival"
	"github.com/tidegate/tidegate/internal/backtest/trace"
	"github.com/tidegate/tidegate/internal/backtest/world"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// anyTrace goes up and down at random, at a few thousand clients or, one time in three, up to a few ten thousand.
func anyTrace(t *rapid.T) trace.Trace {
	x := trace.Trace{Name: "any", Kind: trace.Regular, Step: 20 * time.Second, Jitter: rapid.Float64Range(0, 0.1).Draw(t, "jitter")}
	most := rapid.SampledFrom([]float64{15_000, 15_000, 60_000}).Draw(t, "most")
	level := rapid.Float64Range(500, most).Draw(t, "clients")
	for range 16 {
		x.Clients = append(x.Clients, level)
		level = min(most, max(0, level*rapid.Float64Range(0.7, 1.35).Draw(t, "change")))
	}
	if rapid.Bool().Draw(t, "has an outage") {
		x.Outages = []trace.Outage{{From: 100, To: 220, Part: rapid.Float64Range(0.1, 1).Draw(t, "gone"), Return: 20}}
	}
	return x
}

// watcher checks the rules at every decision of a run.
type watcher struct {
	t    *rapid.T
	p    policy.Policy
	last decision.Decision
	// memory is that of a leader that never changes, where there is such a shadow.
	shadow bool
	memory decide.State
	asked  int
}

// askTwice is how many decisions go by between two that are asked for twice.
const askTwice = 10

func (v *watcher) heard(f load.Fleet, d decision.Decision) {
	if v.shadow {
		v.sameAnswer(f, d)
	}
	if v.last.Sequence > 0 && d.Desired < v.last.Desired {
		v.mayShrink(f, d)
	}
	v.leastToLose(f, d)
	if d.Desired < 1 || d.Desired > max(v.p.MaxReplicas, v.last.Desired) {
		v.t.Fatalf("%d nodes are asked for: the bounds are %d to %d", d.Desired, v.p.MinReplicas, v.p.MaxReplicas)
	}
	v.last = d
}

// sameAnswer: asking again changes nothing, and a leader that took over decides as one that was there all along (rule 2).
func (v *watcher) sameAnswer(f load.Fleet, d decision.Decision) {
	mine, memory := decide.Next(v.p, v.memory, f)
	if !reflect.DeepEqual(mine, d) {
		v.t.Fatalf("a leader that took over decides otherwise (-would have +does):\n%s", gocmp.Diff(mine, d))
	}
	v.memory = memory
	if v.asked++; v.asked%askTwice != 0 {
		return
	}
	if again, same := decide.Next(v.p, memory, f); again.Desired != mine.Desired || again.Sequence != mine.Sequence || !reflect.DeepEqual(memory, same) {
		v.t.Fatalf("asked twice: %d then %d nodes", mine.Desired, again.Desired)
	}
}

// mayShrink: nothing scales in while anything is stale or starts, nor beyond the budget (rules 4 and 5).
func (v *watcher) mayShrink(f load.Fleet, d decision.Decision) {
	starting, leaving, stale, alive := max(0, f.Pending-f.Stuck), 0, 0, 0
	for i := range f.Nodes {
		n := &f.Nodes[i]
		switch n.State {
		case fleet.Starting:
			if f.Now.Sub(n.Since) <= v.p.StartTimeout {
				starting++
			}
		case fleet.Draining:
			leaving++
		}
		if n.State != fleet.Draining {
			alive++
		}
		if n.Stale {
			stale++
		}
	}
	step := v.last.Desired - d.Desired
	switch budget := v.p.Budget(min(alive, v.last.Desired)); {
	case !f.Reachable || stale > 0:
		v.t.Fatalf("from %d to %d nodes while %d are stale (Redis readable: %v)", v.last.Desired, d.Desired, stale, f.Reachable)
	case starting > 0:
		v.t.Fatalf("from %d to %d nodes while %d start", v.last.Desired, d.Desired, starting)
	case step+leaving > budget:
		v.t.Fatalf("%d nodes leave at once and %d drain: the budget is %d of %d", step, leaving, budget, alive)
	}
}

// leastToLose: nobody is nominated while a node with less to lose stays (rule 6).
func (v *watcher) leastToLose(f load.Fleet, d decision.Decision) {
	for _, id := range d.Victims {
		if slices.Contains(v.last.Victims, id) {
			continue
		}
		at, found := slices.BinarySearchFunc(f.Nodes, id, func(n load.Node, id fleet.NodeID) int { return cmp.Compare(n.Node, id) })
		if !found {
			v.t.Fatalf("%s is nominated, and nobody knows it", id)
		}
		for i := range f.Nodes {
			n := &f.Nodes[i]
			if n.State == fleet.Serving && !slices.Contains(d.Victims, n.Node) && n.Connections < f.Nodes[at].Connections {
				v.t.Fatalf("%s with %d clients is to leave, %s with %d stays", id, f.Nodes[at].Connections, n.Node, n.Connections)
			}
		}
	}
}

// faults are what goes wrong in a run.
type faults struct {
	// unreadable are seconds in which Redis cannot be read, shift what the server's clock jumps by at a second.
	unreadable map[int]bool
	jumpAt     int
	shift      time.Duration
}

func anyFaults(t *rapid.T) faults {
	f := faults{unreadable: map[int]bool{}, jumpAt: rapid.IntRange(-300, 300).Draw(t, "jump at")}
	from := rapid.IntRange(-300, 300).Draw(t, "unreadable from")
	for s := range rapid.IntRange(0, 200).Draw(t, "unreadable for") {
		f.unreadable[from+s] = true
	}
	f.shift = time.Duration(rapid.SampledFrom([]int{0, 0, -600, -5, 5, 3600}).Draw(t, "jump")) * time.Second
	return f
}

func (x faults) disturb(now int, f *load.Fleet) {
	f.Reachable = !x.unreadable[now]
	if now >= x.jumpAt {
		f.Now = f.Now.Add(x.shift)
		for i := range f.Nodes {
			f.Nodes[i].Since = f.Nodes[i].Since.Add(x.shift)
		}
	}
}

func TestTheRulesHoldWhateverHappens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := policy.Default()
		p.Kind = rapid.SampledFrom([]policy.Kind{policy.Count, policy.Count, policy.Table}).Draw(t, "policy")
		x, wrong := anyTrace(t), anyFaults(t)
		w := world.New(world.Options{
			Physics: world.Usual(), Trace: &x, Seed: rapid.Uint64().Draw(t, "seed"), Policy: p, Pods: rapid.IntRange(1, 12).Draw(t, "pods"),
			Shards:     rapid.SampledFrom([]int{0, 64}).Draw(t, "shards"),
			NeverStart: rapid.IntRange(0, 3).Draw(t, "starts") == 0,
		})
		watch := &watcher{t: t, p: p, shadow: rapid.IntRange(0, 3).Draw(t, "is shadowed") == 0}
		ours := rival.NewTidegate(p)
		ours.Disturb, ours.Heard = wrong.disturb, watch.heard
		restarts := rapid.IntRange(50, 400).Draw(t, "restarts every")
		silences := rapid.IntRange(30, 300).Draw(t, "a node falls silent every")
		for w.Now() < x.Seconds() {
			w.Step(ours.Order(w))
			if pods := w.Pods(); w.Now()%silences == 0 && len(pods) > 0 {
				w.Silence(pods[w.Now()/silences&math.MaxInt%len(pods)].ID, silences/3)
			}
			if w.Now()%restarts == 0 {
				if err := ours.Restart(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// neverStarts runs the count on a fleet whose pods never start, and returns the largest count it asks for and the largest need.
func neverStarts(tb testing.TB, name string, seed uint64) (peak, need int) {
	tb.Helper()
	x, err := trace.Synthetic(name, seed)
	if err != nil {
		tb.Fatal(err)
	}
	x = x.Times(0.25)
	p := policy.Default()
	clients, _ := x.At(0)
	w := world.New(world.Options{
		Physics: world.Usual(), Trace: &x, Seed: seed, Policy: p, Shards: 256, NeverStart: true,
		Pods: max(p.MinReplicas, int(clients/world.Usual().Carries(0.7))+1),
	})
	ours := rival.NewTidegate(p)
	for w.Now() < x.Seconds() {
		w.Step(ours.Order(w))
	}
	plan := oracle.Of(world.Usual(), &x, seed, p.MinReplicas)
	return w.Tally().Score(plan.PodSeconds, plan.Peak).PeakTarget, plan.Peak
}

// With pods that never start nothing is multiplied: the target follows the need (rule 3).
func TestPodsThatNeverStartAreNotMultiplied(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ramp", "sawtooth", "flash", "bursts"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if peak, need := neverStarts(t, name, 1); peak > need+1 {
				t.Errorf("%d nodes are asked for at the peak: the oracle needs %d", peak, need)
			}
		})
	}
}
