package decide_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

func TestAFleetThatNeverExistedGetsItsMinimum(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	d := s.step(nil)
	s.want(2, decision.ReasonFirst)
	if d.Sequence != 1 || !d.At.Equal(model(1, nil).Now) || !d.ExpiresAt.Equal(d.At.Add(s.p.DecisionTTL)) {
		t.Fatalf("sequence %d at %s until %s", d.Sequence, d.At, d.ExpiresAt)
	}
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestTheFirstAnswerTakesNothingAway(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		nodes   []load.Node
		pending int
		want    int
		limit   string
	}{
		"idle nodes stay for now":            {nodes(6, 0), 0, 6, ""},
		"so do those on their way":           {nodes(2, 0), 3, 5, ""},
		"and those that all still start":     {[]load.Node{in(fleet.Starting, serving("a", 0)), in(fleet.Starting, serving("b", 0)), in(fleet.Starting, serving("c", 0))}, 0, 3, ""},
		"load asks for more at once":         {nodes(3, 100), 0, 4, ""},
		"the minimum stands":                 {nodes(1, 0), 0, 2, decision.LimitMin},
		"the maximum cuts what is asked":     {nodes(40, 200), 0, 50, decision.LimitMax},
		"but not what runs":                  {nodes(60, 10), 0, 60, ""},
		"draining nodes are leaving already": {append(nodes(3, 10), in(fleet.Draining, serving("x", 10))), 0, 3, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tell(t, quick())
			s.step(c.nodes, func(f *load.Fleet) { f.Pending = c.pending })
			s.want(c.want, decision.ReasonFirst)
			s.limited(c.limit)
		})
	}
}

func TestAFleetThatStartsForTheFirstTimeKeepsItsCount(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	s.step(nil)
	s.run(20, []load.Node{in(fleet.Starting, serving("a", 0)), in(fleet.Starting, serving("b", 0))})
	s.want(2, decision.ReasonBalanced)
}

func TestTheCountFollowsLoadOutAtOnce(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	s.run(5, nodes(2, 50))
	s.want(2, decision.ReasonBalanced)
	s.run(5, nodes(2, 170))
	// 340 clients x 1.1 / 100 are 3.74; CPU 1.7 x 1.1 / 0.87 are 2.1.
	if s.last.Desired != 4 {
		t.Fatalf("%d nodes, sequence %d: %s", s.last.Desired, s.last.Sequence, s.last.Note)
	}
	if s.last.Urgency != decision.Critical || s.last.Reason != decision.ReasonOverload {
		t.Fatalf("urgency %s for %s: the table labels what the count decides", s.last.Urgency, s.last.Reason)
	}
}

func TestEachDimensionCanAskForNodes(t *testing.T) {
	t.Parallel()
	quiet := func() []load.Node { return nodes(4, 0) }
	for name, c := range map[string]struct {
		policy func(*policy.Policy)
		load   func(*load.Node)
		want   int
	}{
		"connections":       {func(*policy.Policy) {}, func(n *load.Node) { n.Connections = 150 }, 7},
		"refused clients":   {func(*policy.Policy) {}, func(n *load.Node) { n.Connections, n.RefusedPerSecond = 100, 10 }, 7},
		"messages":          {func(p *policy.Policy) { p.MessagesPerPod = 50 }, func(n *load.Node) { n.MessagesPerSecond = 60 }, 6},
		"CPU":               {func(*policy.Policy) {}, func(n *load.Node) { n.CPU = 0.8 }, 5},
		"memory":            {func(*policy.Policy) {}, func(n *load.Node) { n.Memory = 0.8 }, 5},
		"CPU over its base": {func(p *policy.Policy) { p.CPUBase = 0.4 }, func(n *load.Node) { n.CPU = 0.8 }, 4},
		"nothing":           {func(*policy.Policy) {}, func(*load.Node) {}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := quick()
			c.policy(&p)
			s := tell(t, p)
			s.step(quiet())
			loaded := quiet()
			for i := range loaded {
				c.load(&loaded[i])
			}
			s.run(4, loaded)
			if s.last.Desired != c.want {
				t.Fatalf("%d nodes, want %d: %s", s.last.Desired, c.want, s.last.Note)
			}
		})
	}
}

func TestNothingDeclaredAndNothingMeasuredIsTheMinimum(t *testing.T) {
	t.Parallel()
	p := quick()
	p.ConnectionsPerPod = 0
	s := tell(t, p)
	s.run(30, []load.Node{{Heartbeat: load.Heartbeat{Node: "a", Connections: 5000}, State: fleet.Serving}, {Heartbeat: load.Heartbeat{Node: "b"}, State: fleet.Serving}})
	s.want(2, decision.ReasonBalanced)
	if s.last.Working.Want != 0 || s.last.LimitedBy != decision.LimitMin {
		t.Fatalf("want %d limited by %q", s.last.Working.Want, s.last.LimitedBy)
	}
}

func TestARampIsMetBeforeItArrives(t *testing.T) {
	t.Parallel()
	p := quick()
	p.HPAPeriod, p.StartTime = 15*time.Second, 30*time.Second
	s := tell(t, p)
	for clients := 100; clients <= 200; clients += 2 {
		s.step(nodes(4, clients))
	}
	w := s.last.Working
	// 8 clients/s for 45 s and the age of the level on top of some 790.
	if w.Slope < 7.5 || w.Slope > 8.5 || w.Forecast < 1120 || w.Forecast > 1190 {
		t.Fatalf("slope %.2f/s, forecast %.0f clients from %.0f: want 8/s and about 1160", w.Slope, w.Forecast, w.Demand)
	}
	if s.last.Desired != 13 {
		t.Fatalf("%d nodes, want 13 (1160 x 1.1 / 100): %s", s.last.Desired, s.last.Note)
	}
}

func TestAJumpIsNotExpectedTwice(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	s.run(15, nodes(4, 50))
	for range 60 {
		s.step(nodes(4, 200))
		if s.last.Desired > 9 {
			t.Fatalf("800 clients x 1.1 / 100 are 9 nodes, yet %d are asked for: %s", s.last.Desired, s.last.Note)
		}
	}
}

func TestADrainDoesNotLookLikeMoreLoad(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	s.run(3, nodes(8, 60))
	s.want(8, decision.ReasonBalanced)
	busy := nodes(8, 60)
	for i := range 4 {
		busy[i].State, busy[i].CPU, busy[i].Memory = fleet.Draining, 1, 1
	}
	s.run(5, busy)
	// 480 clients x 1.1 / 100 are 5.3; a drain's own CPU is not load that moves to others.
	if w := s.last.Working; w.WantCPU > 3.2 || w.WantMemory > 3.2 {
		t.Fatalf("draining costs count as load: CPU asks for %.1f nodes, memory for %.1f", w.WantCPU, w.WantMemory)
	}
	if s.last.Desired != 8 || s.last.Inputs.Serving != 4 || s.last.Inputs.Connections != 480 {
		t.Fatalf("%d nodes with inputs %+v: the draining nodes' clients are demand, the nodes are not serving", s.last.Desired, s.last.Inputs)
	}
}

func TestOneNodeWithNearlyAllClients(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	crowd := nodes(10, 1)
	crowd[3] = serving("node-003", 900)
	crowd[3].CPU, crowd[3].Memory = 0.95, 0.5
	s.run(3, crowd)
	// 909 clients x 1.1 / 100 are 10 nodes: the total counts, not the one that is hot.
	s.want(10, decision.ReasonHotspot)
	if s.last.Urgency != decision.Critical {
		t.Fatalf("urgency %s for a node at 0.95 CPU", s.last.Urgency)
	}
	crowd[3].Connections = 300
	s.run(12, crowd)
	if s.last.Desired >= 10 || len(s.last.Victims) == 0 || s.last.Victims[0] == "node-003" {
		t.Fatalf("desired %d, victims %v: idle nodes leave and never the one with all the clients", s.last.Desired, s.last.Victims)
	}
}

func TestStuckPodsAreReportedAndNotMultiplied(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	s.run(3, nodes(2, 50))
	highest := 0
	for i := range 300 {
		s.step(nodes(2, 190), func(f *load.Fleet) {
			f.Pending = 3
			if i > 100 {
				f.Stuck = 3
			}
		})
		highest = max(highest, s.last.Desired)
	}
	// 380 clients x 1.1 / 100.
	if highest != 5 {
		t.Fatalf("the target reached %d although 5 were needed and none of them started: every retry would ask for more", highest)
	}
	if s.last.Inputs.Stuck != 3 || !strings.Contains(s.last.Note, "3 never got to serve") {
		t.Fatalf("stuck pods are not told: %s", s.last.Note)
	}
}

func TestANoteIsOneSentenceWithFigures(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	s.run(3, nodes(3, 50))
	want := "Stay at 3 nodes: 150 clients now, 150 expected in 4s, with margin 1.10 connections need 1.7 nodes; nothing leaves before 8s of quiet."
	if s.last.Note != want {
		t.Fatalf("note\n%s\nwant\n%s", s.last.Note, want)
	}
	s.run(8, nodes(3, 50))
	want = "From 3 in to 2 nodes: 150 clients now, 150 expected in 4s, with margin 1.10 connections need 1.7 nodes, and never more than 1.7 in the last 8s; node-000 to leave."
	if got := s.noteOf(2); got != want {
		t.Fatalf("note\n%s\nwant\n%s", got, want)
	}
}

// noteOf is the note of the decision that first said desired; the story must be past it.
func (s *story) noteOf(desired int) string {
	s.t.Helper()
	again := tell(s.t, s.p)
	for range 60 {
		if d := again.step(nodes(3, 50)); d.Desired == desired {
			return d.Note
		}
	}
	return fmt.Sprintf("never %d", desired)
}

func TestResumingFromADecisionContinuesItsSequence(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	s.run(10, nodes(6, 90))
	before := s.last
	s.state = decide.Resume(before)
	s.run(5, nodes(6, 10))
	if s.last.Desired != before.Desired || s.last.Sequence != before.Sequence || !s.last.At.Equal(before.At) {
		t.Fatalf("a leader that knows only the decision went from %d (sequence %d) to %d (sequence %d): nothing may leave before a whole delay was watched",
			before.Desired, before.Sequence, s.last.Desired, s.last.Sequence)
	}
	s.limited(decision.LimitDelay)
}

func TestShadowModeNominatesNobody(t *testing.T) {
	t.Parallel()
	p := quick()
	p.Mode = policy.Shadow
	s := tell(t, p)
	all := nodes(10, 10)
	for range 60 {
		if d := s.step(all); len(d.Victims) > 0 {
			t.Fatalf("a policy that only watches made %v leave", d.Victims)
		}
	}
	if s.last.Desired != 2 || s.last.Mode != "shadow" {
		t.Fatalf("shadow mode came to %d nodes in mode %q, want 2: it decides as if it were obeyed", s.last.Desired, s.last.Mode)
	}
}

func TestNextLeavesItsInputsAlone(t *testing.T) {
	t.Parallel()
	s := tell(t, quick())
	s.run(30, nodes(9, 20))
	f := model(31, nodes(9, 25))
	state, err := s.state.Encode()
	if err != nil {
		t.Fatal(err)
	}
	before := model(31, nodes(9, 25))
	d, _ := decide.Next(s.p, s.state, f)
	for i := range d.Victims {
		d.Victims[i] = "scribble"
	}
	after, err := s.state.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(state), string(after)); diff != "" {
		t.Fatalf("deciding changed the memory it was given: a second decision on it would differ\n%s", diff)
	}
	if diff := cmp.Diff(before, f); diff != "" {
		t.Fatalf("deciding changed the model that others read:\n%s", diff)
	}
}
