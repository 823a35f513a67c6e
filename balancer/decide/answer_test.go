package decide_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/hpa"
	"github.com/tidegate/tidegate/internal/load"
)

// cluster is a settled Deployment of n pods with an HPA that has no tolerance and takes pods one by one.
func cluster(n int, change ...func(*load.Cluster)) func(*load.Fleet) {
	return func(f *load.Fleet) {
		c := &load.Cluster{Spec: n, Status: n, HPA: load.Autoscaler{Found: true, Min: 2, Max: 50, InByOne: 15 * time.Second}}
		for _, with := range change {
			with(c)
		}
		f.Cluster = c
	}
}

func exact(c *load.Cluster) {
	zero := 0.0
	c.HPA.Up, c.HPA.Down = &zero, &zero
}

func TestASmallStepOutIsServedWide(t *testing.T) {
	for _, c := range []struct {
		name            string
		pods, clients   int
		desired, answer int
		change          []func(*load.Cluster)
		said            string
	}{
		{"20 to 21 without a tolerance", 20, 1900, 21, 23, nil, "served 23 so that the step lands"},
		{"20 to 22, the last that the HPA ignores", 20, 2000, 22, 23, nil, "served 23 so that the step lands"},
		{"20 to 23 passes by itself", 20, 2080, 23, 0, nil, ""},
		{"9 to 10 passes by itself", 9, 900, 10, 0, nil, ""},
		{"20 to 21 with tolerance 0", 20, 1900, 21, 0, []func(*load.Cluster){exact}, ""},
		{"20 to 21 while KEDA is paused and there is no HPA", 20, 1900, 21, 0, []func(*load.Cluster){func(c *load.Cluster) { c.HPA.Found = false }}, ""},
		{"20 to 21 with a tolerance of its own", 20, 1900, 21, 22, []func(*load.Cluster){func(c *load.Cluster) { five := 0.05; c.HPA.Up = &five }}, "served 22"},
		{"the HPA's own maximum cuts what is too much", 48, 4500, 50, 53, nil, "served 53"},
		{"but not where it is wider", 48, 4500, 50, 0, []func(*load.Cluster){func(c *load.Cluster) { c.HPA.Max = 60 }}, "maxReplicas forbids"},
		{"a surge is counted by the HPA", 20, 1900, 21, 0, []func(*load.Cluster){func(c *load.Cluster) { c.Status, c.Rolling = 21, true }}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := tell(t, quick())
			s.step(nodes(c.pods, 0), cluster(c.pods, c.change...))
			before := s.last.Sequence
			d := s.run(5, nodes(c.pods, c.clients/c.pods), cluster(c.pods, c.change...))
			if c.clients%c.pods != 0 {
				all := nodes(c.pods, c.clients/c.pods)
				all[0].Connections += c.clients % c.pods
				d = s.run(5, all, cluster(c.pods, c.change...))
			}
			if d.Desired != c.desired || d.Answer != c.answer {
				t.Fatalf("desired %d, answer %d, want %d and %d\nnote: %s", d.Desired, d.Answer, c.desired, c.answer, d.Note)
			}
			if !strings.Contains(d.Note, c.said) || (c.said == "") == strings.Contains(d.Note, "HPA") {
				t.Errorf("note %q, want it to say %q", d.Note, c.said)
			}
			if d.Sequence == before {
				t.Error("the sequence did not grow: the HPA would not be woken")
			}
		})
	}
}

func TestASmallStepInIsServedWideOnlyWhereItCannotGoTooFar(t *testing.T) {
	rolling := func(c *load.Cluster) { c.Rolling = true }
	for _, c := range []struct {
		name   string
		change []func(*load.Cluster)
		nodes  []load.Node
		answer int
		said   string
	}{
		{"one pod at a time", nil, nodes(20, 80), 17, "served 17 so that the step lands"},
		{"several pods at a time", []func(*load.Cluster){func(c *load.Cluster) { c.HPA.InByOne = 0 }}, nodes(20, 80), 0, "policies of Pods 1"},
		{"one pod every second", []func(*load.Cluster){func(c *load.Cluster) { c.HPA.InByOne = time.Second }}, nodes(20, 80), 0, "policies of Pods 1"},
		{"during a rollout", []func(*load.Cluster){rolling}, nodes(20, 80), 0, "until all of them are known to serve"},
		{"with other nodes than pods", nil, nodes(19, 84), 0, ""},
		{"with tolerance 0", []func(*load.Cluster){exact}, nodes(20, 80), 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := tell(t, quick())
			all := cluster(20, c.change...)
			s.run(20, nodes(20, 90), all)
			before := s.last
			for range 30 {
				s.step(c.nodes, all)
				if s.last.Desired < before.Desired {
					break
				}
			}
			s.step(c.nodes, all)
			if c.answer != s.last.Answer || !strings.Contains(s.last.Note, c.said) {
				t.Errorf("desired %d, answer %d, want %d\nnote: %s, want %q", s.last.Desired, s.last.Answer, c.answer, s.last.Note, c.said)
			}
		})
	}
}

func TestNobodyIsEmptiedWhoseHPAKeepsThemAll(t *testing.T) {
	s := tell(t, quick())
	several := cluster(20, func(c *load.Cluster) { c.HPA.InByOne = 0 })
	s.run(20, nodes(20, 90), several)
	d := s.run(60, nodes(20, 60), several)
	if d.Desired >= 20 || len(d.Victims) > 0 {
		t.Errorf("desired %d, victims %v: a node would stand empty and never leave", d.Desired, d.Victims)
	}
}

func TestAHoldServesTheCountItself(t *testing.T) {
	s := tell(t, quick())
	s.step(nodes(20, 0), cluster(20))
	if d := s.run(5, nodes(20, 95), cluster(20)); d.Answer == 0 {
		t.Fatalf("no wider step: %+v", d)
	}
	d := s.step(nodes(20, 95), cluster(20), func(f *load.Fleet) { f.Reachable = false })
	if d.Answer != 0 || d.Desired != 21 {
		t.Errorf("desired %d, answer %d: nobody sees the wider step land", d.Desired, d.Answer)
	}
}

func TestAShadowAnswersWhatIsAskedForAlready(t *testing.T) {
	p := quick()
	p.Mode = policy.Shadow
	s := tell(t, p)
	surge := func(c *load.Cluster) { c.Spec, c.Status, c.Rolling = 4, 5, true }
	if d := s.run(5, nodes(5, 200), cluster(4, surge)); d.Answer != 4 || d.Desired <= 5 {
		t.Errorf("desired %d, answer %d, want more nodes and the answer 4: status.replicas has a rollout's surge", d.Desired, d.Answer)
	}
	if d := s.step(nodes(5, 200), cluster(5, func(c *load.Cluster) { c.Shared = true })); d.Answer != 1 {
		t.Errorf("answer %d beside other triggers, want 1: the HPA takes the largest", d.Answer)
	}
	if d := s.step(nodes(5, 200)); d.Answer != 0 {
		t.Errorf("answer %d though nobody knows what is asked for", d.Answer)
	}
}

// ground is a cluster without tolerances that obeys its HPA: pods start and drain, and the HPA looks when it is pushed and
// every 15 seconds.
type ground struct {
	p       policy.Policy
	spec    hpa.Spec
	history hpa.History
	now     time.Time
	looked  time.Time
	pods    []*body
	born    int
	want    int // spec.replicas
	clients int
	seen    uint64 // the sequence that was pushed last
	push    bool
	looks   int
}

func newGround(p policy.Policy, pods, clients int, push bool) *ground {
	g := &ground{p: p, now: start, want: pods, clients: clients, push: push}
	g.spec = hpa.Spec{Min: p.MinReplicas, Max: p.MaxReplicas, Up: hpa.DefaultUp(), Down: hpa.Rules{
		Tolerance: 0.1, Policies: []hpa.Policy{{Unit: hpa.Pods, Value: 1, Period: 15 * time.Second}},
	}}
	for range pods {
		g.add(fleet.Serving, 0)
	}
	return g
}

func (g *ground) add(state fleet.State, starts int) {
	g.born++
	g.pods = append(g.pods, &body{id: fleet.NodeID(fmt.Sprintf("pod-%04d", g.born)), state: state, starts: starts, since: g.now})
}

// there counts the pods that were not asked to go: status.replicas.
func (g *ground) there() int {
	n := 0
	for _, b := range g.pods {
		if b.state != fleet.Draining {
			n++
		}
	}
	return n
}

// tick lets a second pass in the pods.
func (g *ground) tick() {
	g.now = g.now.Add(time.Second)
	for _, b := range g.pods {
		switch b.state {
		case fleet.Starting:
			if b.starts--; b.starts <= 0 {
				b.state = fleet.Serving
			}
		case fleet.Draining:
			b.drains--
		default:
		}
	}
	g.pods = slices.DeleteFunc(g.pods, func(b *body) bool { return b.state == fleet.Draining && b.drains <= 0 })
	for g.there() < g.want {
		g.add(fleet.Starting, 3)
	}
}

func (g *ground) model() load.Fleet {
	f := load.Fleet{ID: chatID, Now: g.now, Reachable: true}
	takers := 0
	for _, b := range g.pods {
		if b.state == fleet.Serving {
			takers++
		}
	}
	rest := g.clients
	for _, b := range g.pods {
		n := serving(string(b.id), 0)
		if b.state == fleet.Serving {
			n = serving(string(b.id), rest/takers)
			rest, takers = rest-rest/takers, takers-1
		}
		n.State, n.Since = b.state, b.since
		f.Nodes = append(f.Nodes, n)
	}
	cluster(g.there(), func(c *load.Cluster) { c.Spec = g.want })(&f)
	f.Cluster.HPA.Min, f.Cluster.HPA.Max = g.spec.Min, g.spec.Max
	return f
}

// look is one look of the HPA when one is due; the victims go first.
func (g *ground) look(t *rapid.T, d decision.Decision) {
	pushed := g.push && d.Sequence != g.seen
	if !pushed && g.now.Sub(g.looked) < 15*time.Second {
		return
	}
	g.seen, g.looked = d.Sequence, g.now
	g.looks++
	metric := []hpa.Metric{{Value: hpa.Milli(d.Served(g.now)) * 1000, Target: 1000 + hpa.Milli(d.Sequence%2)}}
	count, _, history := hpa.Replicas(g.now, g.spec, hpa.Scale{Spec: g.want, Status: g.there()}, metric, g.history)
	g.history = history
	if count < g.want && count < d.Desired {
		t.Fatalf("from %d to %d pods though %d were decided and %d served: sessions are cut that nobody wanted to move", g.want, count, d.Desired, d.Answer)
	}
	g.want = count
	order := append(slices.Clone(d.Victims), decideOrder(g)...)
	for _, id := range order {
		if g.there() <= g.want {
			return
		}
		for _, b := range g.pods {
			if b.id == id && b.state != fleet.Draining {
				b.state, b.drains = fleet.Draining, 3
			}
		}
	}
}

// decideOrder is the order in which pods go that nobody named: the youngest first.
func decideOrder(g *ground) []fleet.NodeID {
	ids := make([]fleet.NodeID, 0, len(g.pods))
	for i := len(g.pods) - 1; i >= 0; i-- {
		ids = append(ids, g.pods[i].id)
	}
	return ids
}

// Without a tolerance of its own the HPA ignores what is within a tenth. Whatever the fleet's size and the step, out and in,
// polled and pushed: the step lands within two looks, no look takes more than was decided, and then nothing moves any more.
func TestWidenedStepsLandAndSettle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := quick()
		p.MinReplicas, p.MaxReplicas = 2, 400
		pods := rapid.IntRange(8, 48).Draw(t, "pods")
		step := rapid.IntRange(-pods/8, pods/8).Draw(t, "step")
		g := newGround(p, pods, clientsFor(pods), rapid.Bool().Draw(t, "push"))
		g.looked = start.Add(time.Duration(rapid.IntRange(0, 14).Draw(t, "phase")) * time.Second)
		var s decide.State
		var d decision.Decision
		second := func() {
			g.tick()
			d, s = decide.Next(p, s, g.model())
			g.look(t, d)
		}
		for range 30 {
			second()
		}
		if g.want != pods {
			t.Fatalf("%d pods became %d at constant load", pods, g.want)
		}
		g.clients = clientsFor(pods + step)
		reversals, way, most := 0, 0, pods
		looks := -1
		for range 100 + 16*(2*max(step, -step)+pods/8) {
			before := g.want
			second()
			if looks < 0 && d.Desired > pods {
				looks = g.looks
			}
			if looks >= 0 && step > 0 && g.looks >= looks+2 && most < d.Desired && g.want < d.Desired {
				t.Fatalf("%d looks after %d were decided there are %d pods: the step does not land", g.looks-looks, d.Desired, g.want)
			}
			most = max(most, g.want)
			if turn := sign(g.want - before); turn != 0 && turn != way {
				way = turn
				reversals++
			}
		}
		if d.Desired != g.want {
			t.Fatalf("%d were decided and %d run in the end\nnote: %s", d.Desired, g.want, d.Note)
		}
		if reversals > 2 {
			t.Fatalf("the fleet changed its direction %d times at constant load", reversals)
		}
		if most > max(pods, pods+step)*11/10+3 {
			t.Fatalf("%d pods at most for a step of %d from %d", most, step, pods)
		}
	})
}

// clientsFor is the number of clients that so many pods are asked for.
func clientsFor(pods int) int { return int(float64(pods)*each/margin) - 1 }

func sign(n int) int { return max(-1, min(n, 1)) }

// A rollout replaces every pod, one more at a time; the HPA here is that of an older cluster, which counts the surge.
func TestARolloutLeavesTheCountWhereItWas(t *testing.T) {
	t.Parallel()
	for _, surge := range []int{1, 4} {
		s := tell(t, quick())
		all := nodes(20, 90)
		want := s.run(40, all, cluster(20)).Desired
		at := func(status, spec int) func(*load.Fleet) {
			return cluster(spec, func(c *load.Cluster) { c.Status, c.Rolling = status, true })
		}
		step := func(what string, alive []load.Node, pending int) {
			for range 5 {
				d := s.step(alive, at(20+surge, 20), func(f *load.Fleet) { f.Pending = pending })
				if d.Desired != want || d.LimitedBy == decision.LimitMin {
					t.Fatalf("%s: %d nodes instead of %d\nnote: %s", what, d.Desired, want, d.Note)
				}
				if len(d.Victims) > 0 {
					t.Fatalf("%s: %v are to leave: the rollout says who leaves", what, d.Victims)
				}
			}
		}
		for i := 0; i+surge <= 20; i += surge {
			step("pods are made", all, surge)
			for k := range surge {
				fresh := serving(fmt.Sprintf("new-%03d", i+k), 0)
				fresh.State, fresh.Since = fleet.Starting, start.Add(time.Duration(s.at)*time.Second)
				all = append(all, fresh)
			}
			step("they start", all, 0)
			for k := range surge {
				all[20+k].State = fleet.Serving
			}
			step("all serve", all, 0)
			for k := range surge {
				all[k].State = fleet.Draining
			}
			step("the old ones drain", all, 0)
			for k := range surge {
				all[20+k] = serving(string(all[20+k].Node), all[k].Connections)
			}
			all = all[surge:]
			step("the old ones are gone", all, surge)
		}
	}
}
