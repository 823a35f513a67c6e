package world_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest/trace"
	"github.com/tidegate/tidegate/internal/backtest/world"
	"github.com/tidegate/tidegate/internal/fleet"
)

// made is a world on a trace, small enough for many of them.
func made(tb testing.TB, name string, change func(*world.Options)) *world.World {
	tb.Helper()
	t, err := trace.Synthetic(name, 1)
	if err != nil {
		tb.Fatal(err)
	}
	t = t.Times(0.2)
	o := world.Options{Physics: world.Usual(), Trace: &t, Seed: 1, Policy: policy.Default(), Pods: 6}
	if change != nil {
		change(&o)
	}
	return world.New(o)
}

// movable has a table of few shards.
func movable(o *world.Options) { o.Shards = 64 }

// Nobody is lost and nobody counted twice, whatever is asked for: who wants to be connected is, or waits.
func TestClientsAreConserved(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(trace.Names()).Draw(t, "trace")
		shards := rapid.SampledFrom([]int{0, 64}).Draw(t, "shards")
		choice := rapid.SampledFrom([]world.Choice{world.Chance, world.Fewest, world.Room}).Draw(t, "choice")
		x, err := trace.Synthetic(name, rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Fatal(err)
		}
		x = x.Times(0.1)
		w := world.New(world.Options{
			Physics: world.Usual(), Trace: &x, Seed: 3, Policy: policy.Default(), Shards: shards, Choice: choice,
			Pods: rapid.IntRange(1, 8).Draw(t, "pods"), NeverStart: rapid.Bool().Draw(t, "never start"),
		})
		order := world.Order{Replicas: w.Spec()}
		for range 60 {
			order.Replicas = max(1, order.Replicas+rapid.IntRange(-4, 4).Draw(t, "step"))
			order.Victims = nil
			if pods := w.Pods(); rapid.Bool().Draw(t, "names victims") && len(pods) > 0 {
				order.Victims = []fleet.NodeID{pods[rapid.IntRange(0, len(pods)-1).Draw(t, "victim")].ID}
			}
			for range rapid.IntRange(1, 40).Draw(t, "seconds") {
				w.Step(order)
				conserved(t, w)
			}
		}
	})
}

// failer is a test of any kind.
type failer interface {
	Fatalf(format string, args ...any)
}

func conserved(t failer, w *world.World) {
	connected, waiting, wanted := w.Connected(), w.Waiting(), w.Wanted()
	if math.Abs(connected+waiting-wanted) > 1e-6*max(1, wanted) {
		t.Fatalf("at %d s %v clients are connected and %v wait: %v want to be", w.Now(), connected, waiting, wanted)
	}
	there := 0
	for _, p := range w.Pods() {
		if p.Clients() < -1e-6 || p.Clients() > 0 && !p.Heard(w.Now()) {
			t.Fatalf("at %d s %s has %v clients", w.Now(), p.ID, p.Clients())
		}
		if !(p.CPU >= 0 && p.CPU <= 1 && p.Memory >= 0 && p.Memory <= 1 && p.P95 >= 0) {
			t.Fatalf("at %d s %s uses %v CPU, %v memory, with a p95 of %s", w.Now(), p.ID, p.CPU, p.Memory, p.P95)
		}
		if !p.Deleted {
			there++
		}
	}
	if there != w.Spec() {
		t.Fatalf("at %d s there are %d pods: %d were asked for", w.Now(), there, w.Spec())
	}
}

func run(w *world.World, seconds, replicas int) {
	for range seconds {
		w.Step(world.Order{Replicas: replicas})
	}
}

func TestAPodStartsLateAndServesThen(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*world.Options){"sticky": nil, "movable": movable} {
		w := made(t, "ramp", change)
		run(w, 1, 12)
		if w.Serving() != 6 {
			t.Errorf("%s: %d nodes serve a second after 12 were asked for", name, w.Serving())
		}
		run(w, 5, 12)
		if w.Serving() != 6 {
			t.Errorf("%s: a pod started in 5 s", name)
		}
		run(w, 120, 12)
		if w.Serving() != 12 {
			t.Errorf("%s: %d of 12 nodes serve after two minutes", name, w.Serving())
		}
	}
}

func TestPodsThatNeverStartNeverServe(t *testing.T) {
	t.Parallel()
	w := made(t, "ramp", func(o *world.Options) { o.NeverStart = true })
	run(w, 2000, 12)
	if w.Serving() != 6 {
		t.Errorf("%d nodes serve: only the first 6 could", w.Serving())
	}
}

// A sticky fleet closes all of a pod's connections; a movable one moves them, at most a hundred a second.
func TestWhoLeavesIsCutOrMoves(t *testing.T) {
	t.Parallel()
	sticky := made(t, "ramp", nil)
	run(sticky, world.Settle+60, 6)
	run(sticky, 60, 5)
	if moved, cut := sticky.Tally().Moved(); cut < 100 || moved != cut {
		t.Errorf("sticky: %v clients were cut and %v moved when a pod left", cut, moved)
	}
	w := made(t, "ramp", movable)
	run(w, world.Settle+60, 6)
	victim := w.Pods()[0]
	clients := victim.Clients()
	for range 20 {
		w.Step(world.Order{Replicas: 6, Victims: []fleet.NodeID{victim.ID}})
	}
	before, _ := w.Tally().Moved()
	last := before
	for range 100 {
		w.Step(world.Order{Replicas: 5, Victims: []fleet.NodeID{victim.ID}})
		moved, cut := w.Tally().Moved()
		if moved-last > 2*w.Physics().Pace || cut > 0 {
			t.Fatalf("movable: %v clients moved in one second, and %v were cut", moved-last, cut)
		}
		last = moved
	}
	if last < 0.8*clients || victim.State != fleet.Gone {
		t.Errorf("movable: %v of %v clients moved off the victim, which is %s", last, clients, victim.State)
	}
}

func TestKubernetesTakesFirstWhatHasNotStarted(t *testing.T) {
	t.Parallel()
	w := made(t, "ramp", nil)
	run(w, 10, 6)
	old := w.Pods()[0].ID
	run(w, 3, 8)
	w.Step(world.Order{Replicas: 6, Victims: []fleet.NodeID{old}})
	if w.Serving() != 6 || w.Pods()[0].ID != old {
		t.Error("a node with clients left, while two pods had not even started")
	}
	w.Step(world.Order{Replicas: 5, Victims: []fleet.NodeID{old}})
	if w.Pods()[0].ID == old {
		t.Error("the victim stayed, and another node left")
	}
}

// More clients than the fleet can carry wait; the nodes are not loaded beyond what they are.
func TestAFullFleetTurnsClientsAway(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*world.Options){"sticky": nil, "movable": movable} {
		w := made(t, "ramp", func(o *world.Options) {
			o.Pods = 2
			if change != nil {
				change(o)
			}
		})
		run(w, world.Settle+65*60, 2)
		conserved(t, w)
		if w.Waiting() < 0.2*w.Wanted() {
			t.Errorf("%s: only %v of %v clients wait for two nodes", name, w.Waiting(), w.Wanted())
		}
		for _, p := range w.Pods() {
			if p.CPU < 0.9 || p.Refused == 0 || p.Memory >= 1 {
				t.Errorf("%s: %s is at %v CPU, %v memory and turns %v away a second", name, p.ID, p.CPU, p.Memory, p.Refused)
			}
		}
	}
}

// What one client costs is what the physics say, so that capacity can be learned and the oracle is right.
func TestANodesCPUFollowsFromItsClients(t *testing.T) {
	t.Parallel()
	w := made(t, "ramp", func(o *world.Options) { o.Physics.Spread, o.Physics.Unevenness = 0, 0 })
	run(w, 300, 6)
	x := w.Physics()
	for _, p := range w.Pods() {
		want := x.CPUBase + x.CPUClient*p.Clients() + x.CPUMessage*p.Messages + x.CPUHandshake*p.Handshakes
		if math.Abs(p.CPU-want) > 1e-9 {
			t.Errorf("%s: CPU %v, want %v", p.ID, p.CPU, want)
		}
	}
	if carries := x.Carries(0.8); carries < 2000 || carries > 6000 {
		t.Errorf("a node carries %v clients", carries)
	}
}

func TestASilentNodeIsStaleAndServesOn(t *testing.T) {
	t.Parallel()
	w := made(t, "ramp", movable)
	run(w, 10, 6)
	id := w.Pods()[2].ID
	w.Model(2, 50, 1, nil)
	w.Silence(id, 30)
	run(w, 10, 6)
	f := w.Model(2, 50, 1, nil)
	for i := range f.Nodes {
		if got := f.Nodes[i].Stale; got != (f.Nodes[i].Node == id) {
			t.Errorf("%s: stale is %v", f.Nodes[i].Node, got)
		}
	}
	if w.Serving() != 6 {
		t.Error("a node that is silent stopped to serve")
	}
}
