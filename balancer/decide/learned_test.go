package decide_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/load"
)

// crowd are so many nodes with so many clients in all, each of which spends what it costs.
func crowd(c costs, count int, clients, at float64) []load.Node {
	all := make([]load.Node, count)
	for i := range all {
		all[i] = c.loaded(fmt.Sprintf("node-%03d", i), int(clients)/count, 0, 0.1, math.Sin(at*7+float64(i)))
	}
	return all
}

// obedient runs a fleet that always has as many nodes as were decided, with clients in waves about the level.
func (s *story) obedient(c costs, seconds int, level float64) {
	s.t.Helper()
	for range seconds {
		s.step(crowd(c, max(1, s.last.Desired), level*(1+0.2*math.Sin(s.at/200)), s.at))
	}
}

func TestADeclaredCapacityThatIsWrongStopsToMatter(t *testing.T) {
	t.Parallel()
	c := costs{base: 0.05, client: (0.87 - 0.05) / 100, noise: 0.01}
	for name, declared := range map[string]float64{"right": 100, "30 % too high": 130, "30 % too low": 70, "a tenth of it": 10, "not declared": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := policy.Default()
			p.ConnectionsPerPod, p.MaxReplicas, p.Learn.Margin = declared, 200, false
			s := tell(t, p)
			s.obedient(c, 3600, 1500)
			w := s.last.Working
			if !w.Capacity.LearnedCPU || math.Abs(w.ConnectionsPerPod-100) > 4 {
				t.Fatalf("after an hour a pod is believed to carry %.1f clients (learned %t), it carries 100: %s", w.ConnectionsPerPod, w.Capacity.LearnedCPU, s.last.Note)
			}
			if want := w.Forecast * w.Margin / 100; math.Abs(w.WantCPU-want) > 0.04*want || w.WantConnections != 0 {
				t.Fatalf("CPU asks for %.2f nodes and what was declared for %.2f, want %.2f and none", w.WantCPU, w.WantConnections, want)
			}
		})
	}
}

func TestWhatIsDeclaredStandsForWhatNobodySees(t *testing.T) {
	t.Parallel()
	for name, hide := range map[string]func(*load.Node){
		"memory cannot be seen":  func(n *load.Node) { n.Memory = 0 },
		"CPU cannot be seen":     func(n *load.Node) { n.CPU = 0 },
		"neither can be seen":    func(n *load.Node) { n.CPU, n.Memory = 0, 0 },
		"CPU is always the same": func(n *load.Node) { n.CPU, n.Memory = 0.1, 0.1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := policy.Default()
			p.ConnectionsPerPod, p.Learn.Margin = 100, false
			s := tell(t, p)
			for range 1800 {
				all := crowd(costs{client: 0.002, noise: 0.005}, max(1, s.last.Desired), 1000*(1+0.2*math.Sin(s.at/200)), s.at)
				for i := range all {
					hide(&all[i])
				}
				s.step(all)
			}
			w := s.last.Working
			if want := w.Forecast * 1.1 / 100; math.Abs(w.WantConnections-want) > 1e-6 || s.last.Desired < int(want) {
				t.Fatalf("%d nodes, connections ask for %.2f, want %.2f: the limit may be where nobody measures", s.last.Desired, w.WantConnections, want)
			}
		})
	}
}

func TestNodesOwnLimitsAreKept(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.Learn.Margin = false
	s := tell(t, p)
	all := crowd(costs{client: 0.0001}, 4, 3600, 0)
	for i := range all {
		all[i].MaxConnections = 1000
	}
	s.run(30, all)
	// 3600 x 1.1 / 950.
	if s.last.Desired != 5 {
		t.Fatalf("%d nodes: four take 4,000 clients by their own word, and a tenth more are expected: %s", s.last.Desired, s.last.Note)
	}
}

func TestThoseWhoWaitCostWhatTheOthersDo(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.Learn.Margin = false
	c := costs{base: 0.05, client: (0.87 - 0.05) / 100}
	s := tell(t, p)
	s.obedient(c, 1800, 1500)
	all := crowd(c, 15, 1400, 0)
	for i := range all {
		all[i].RefusedPerSecond = 20
	}
	s.run(25, all)
	// 1,400 are in, and 15 nodes x 20 a second x 5 s wait: 2,900 x 1.1 / 100.
	if s.last.Desired < 31 || s.last.Desired > 33 {
		t.Fatalf("%d nodes, want 32: %s", s.last.Desired, s.last.Note)
	}
}

func TestLoadThatTheModelCannotExplainIsMet(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.Learn.Margin = false
	c := costs{base: 0.05, client: (0.87 - 0.05) / 100}
	s := tell(t, p)
	s.obedient(c, 1800, 1000)
	before := s.last.Working.WantCPU
	all := crowd(c, s.last.Desired, s.last.Working.Demand, s.at)
	for i := range all {
		all[i].CPU = 0.05 + 1.3*(all[i].CPU-0.05)
	}
	s.run(25, all)
	if ratio := s.last.Working.WantCPU / before; ratio < 1.15 {
		t.Fatalf("every client costs 1.3 times as much since a moment ago and CPU asks for %.2f times as many nodes: learning takes longer than an overload", ratio)
	}
}

func TestAFallOfClientsIsAnOutageAndHeldFor(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.ConnectionsPerPod = 100
	s := tell(t, p)
	s.run(900, nodes(12, 85))
	at := s.last.Desired
	s.run(120, nodes(12, 30))
	if s.last.Working.StormUntil.IsZero() || s.last.Desired != at {
		t.Fatalf("two thirds of the clients are gone within two minutes: %d nodes, %s", s.last.Desired, s.last.Note)
	}
	s.run(600, nodes(12, 30))
	s.limited(decision.LimitStorm)
	if s.last.Desired != at || !strings.Contains(s.last.Note, "outage") {
		t.Fatalf("%d nodes of %d: %s", s.last.Desired, at, s.last.Note)
	}
	// They come back within a minute. No trend is believed: it would ask for as many again.
	for i := range 60 {
		s.step(nodes(12, 30+i*55/60))
		if s.last.Desired > at {
			t.Fatalf("%d clients return to the %d nodes that were kept for them, and %d are asked for: %s", 12*(30+i*55/60), at, s.last.Desired, s.last.Note)
		}
	}
	s.run(1200, nodes(12, 85))
	if !s.last.Working.StormUntil.IsZero() {
		t.Fatalf("the guard never lets go: %s", s.last.Note)
	}
}

func TestAStormGuardThatIsOffHoldsNothing(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.ConnectionsPerPod, p.Storm.Guard = 100, false
	s := tell(t, p)
	s.run(900, nodes(12, 85))
	s.run(900, nodes(12, 30))
	if s.last.Desired >= 12 {
		t.Fatalf("%d nodes: %s", s.last.Desired, s.last.Note)
	}
}

func TestAQuietNightIsNoOutage(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.ConnectionsPerPod = 100
	s := tell(t, p)
	for clients := 85.0; clients > 20; clients *= math.Exp(-1.0 / 3000) {
		s.step(nodes(max(2, s.last.Desired), 12*int(clients)/max(2, s.last.Desired)))
		if !s.last.Working.StormUntil.IsZero() {
			t.Fatalf("a fall of 6 %% in three minutes is taken for an outage: %s", s.last.Note)
		}
	}
	if s.last.Desired > 5 {
		t.Fatalf("%d nodes for 240 clients in the morning", s.last.Desired)
	}
}

func TestAScaleInThatIsAlwaysTakenBackIsMadeLessOften(t *testing.T) {
	t.Parallel()
	turns := func(learn bool) (turns int, last decision.Decision) {
		p := policy.Default()
		p.ConnectionsPerPod, p.Settle.Learn, p.Learn.Capacity, p.Learn.Margin, p.Storm.Guard = 100, learn, false, false, false
		s := tell(t, p)
		direction := 0
		for range 3 * 3600 {
			// Every eleven minutes the load swings by a fifth.
			before := s.last.Desired
			s.step(nodes(max(1, s.last.Desired), (700+int(120*math.Sin(s.at*2*math.Pi/660)))/max(1, s.last.Desired)))
			if d := s.last.Desired - before; before > 0 && d*direction < 0 {
				turns++
			}
			if s.last.Desired != before {
				direction = s.last.Desired - before
			}
		}
		return turns, s.last
	}
	plain, _ := turns(false)
	settled, last := turns(true)
	if plain < 10 || settled > plain/3 {
		t.Fatalf("the direction changed %d times in three hours, %d without hindsight: %s", settled, plain, last.Note)
	}
}

func TestNoNodeLeavesThatIsNeededAgainSoon(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.ConnectionsPerPod, p.Learn.Capacity = 100, false
	s := tell(t, p)
	s.run(400, nodes(10, 85))
	for clients := 600.0; clients < 700; clients += 0.25 {
		s.step(nodes(10, int(clients/10)))
		if s.last.Desired < 10 && clients > 660 {
			t.Fatalf("a node leaves at %.0f clients, which grow by 25 in 100 s: %s", clients, s.last.Note)
		}
	}
}

func TestSlowPodsLengthenTheLeadTime(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.ConnectionsPerPod = 100
	s := tell(t, p)
	s.run(10, nodes(3, 60))
	if w := s.last.Working; w.Lead != 45*time.Second || w.LeadMeasured {
		t.Fatalf("lead time %s, measured %t", w.Lead, w.LeadMeasured)
	}
	for i := 3; i < 9; i++ {
		s.run(80, nodes(i, 60), func(f *load.Fleet) { f.Pending = 1 })
		s.run(10, nodes(i+1, 60))
	}
	if w := s.last.Working; !w.LeadMeasured || w.Lead != 95*time.Second {
		t.Fatalf("six pods took 80 s each, the lead time is %s (measured %t)", w.Lead, w.LeadMeasured)
	}
}

func TestANewLeaderForgetsNothingThatWasLearned(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.ConnectionsPerPod = 70
	c := costs{base: 0.05, client: (0.87 - 0.05) / 100, noise: 0.01}
	s := tell(t, p)
	s.obedient(c, 3600, 1500)
	learned := s.state.Learned
	if !learned.Model.LearnedCPU || learned.Errors.Watched == 0 {
		t.Fatalf("nothing was learned: %+v", learned)
	}
	expired := decide.Revive(p, s.state, s.last.ExpiresAt.Add(24*time.Hour))
	if expired.Decided || cmp.Diff(learned, expired.Learned) != "" {
		t.Fatal("a night without a leader forgets what the fleet has taught")
	}
	body, err := expired.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := decide.DecodeState(body); err != nil || differ(expired, again) != "" {
		t.Fatalf("it reads otherwise, %v", err)
	}
	resumed := decide.Resume(s.last)
	if resumed.Model != s.last.Working.Capacity || resumed.Beliefs.Margin != s.last.Working.Margin {
		t.Fatal("a leader that knows the decision alone does not believe what it rested on")
	}
	d, _ := decide.Next(p, resumed, model(s.at+1, crowd(c, s.last.Desired, s.last.Working.Demand, 0)))
	if d.Desired != s.last.Desired {
		t.Fatalf("it decides %d after %d: %s", d.Desired, s.last.Desired, d.Note)
	}
}
