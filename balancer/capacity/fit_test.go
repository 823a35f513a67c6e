package capacity_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/capacity"
	"github.com/tidegate/tidegate/balancer/policy"
)

// school is a fleet that teaches what its pods really cost, with noise.
type school struct {
	cpu, memory capacity.Cost
	noise       float64
	nodes       int
	chance      *rand.Rand
}

func newSchool() *school {
	return &school{
		cpu:    capacity.Cost{Base: 0.05, PerClient: 70e-6, PerMessage: 250e-6, PerHandshake: 0.002},
		memory: capacity.Cost{Base: 0.15, PerClient: 120e-6},
		noise:  0.01, nodes: 20, chance: rand.New(rand.NewPCG(1, 2)),
	}
}

// lesson is one reading with so many clients, messages/s a client and handshakes/s a node on the mean.
func (s *school) lesson(clients, rate, shakes, spread float64) *capacity.Lesson {
	var l capacity.Lesson
	for range s.nodes {
		c := clients * (1 + spread*s.chance.NormFloat64())
		l.Add(c, rate*c, shakes, s.cpu.Of(c, rate*c, shakes)+s.noise*s.chance.NormFloat64(), s.memory.Of(c, rate*c, shakes)+s.noise*s.chance.NormFloat64())
	}
	return &l
}

// day is a fleet whose pods carry between 2,000 and 4,000 clients in waves of forty minutes.
func (s *school) day(p policy.Policy, f capacity.Fit, from, seconds int, rate func(at float64) float64) capacity.Fit {
	for i := from; i < from+seconds; i++ {
		at := float64(i)
		clients := 3000 + 1000*math.Sin(at/400)
		f = f.Learn(p, s.lesson(clients, rate(at), clients/1800, 0.03), 1)
	}
	return f
}

func steady(float64) float64 { return 0.5 }

// carries is how many clients a pod is believed to carry at 0.87 of its CPU.
func carries(c capacity.Cost, rate float64) float64 {
	return (0.87 - c.Base) / (c.PerClient + rate*c.PerMessage + c.PerHandshake/1800)
}

func TestCapacityIsLearnedWhateverWasDeclared(t *testing.T) {
	t.Parallel()
	for _, declared := range []float64{0, 1000, 3000, 4200, 6000, 50_000} {
		p := policy.Default()
		p.ConnectionsPerPod = declared
		s := newSchool()
		f := s.day(p, capacity.Fit{}, 0, 1800, steady)
		m := f.Believe(p, capacity.Model{})
		if !m.LearnedCPU || !m.LearnedMemory {
			t.Fatalf("declared %v: after half an hour %+v", declared, m)
		}
		want := carries(s.cpu, 0.5)
		if got := carries(m.CPU, 0.5); math.Abs(got/want-1) > 0.03 {
			t.Errorf("declared %v: a pod is believed to carry %.0f clients, it carries %.0f", declared, got, want)
		}
		full := (p.MemoryCeiling - s.memory.Base) / s.memory.PerClient
		if got := (p.MemoryCeiling - m.Memory.Base) / (m.Memory.PerClient + 0.5*m.Memory.PerMessage); math.Abs(got/full-1) > 0.03 {
			t.Errorf("declared %v: a pod is believed to hold %.0f clients, it holds %.0f", declared, got, full)
		}
	}
}

func TestWhatLoadCannotTellApartGoesToClients(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	s := newSchool()
	f := s.day(p, capacity.Fit{}, 0, 3600, steady)
	m := f.Believe(p, capacity.Model{})
	// Messages are half of the clients always and handshakes a part of them: only their sum can be known.
	if m.CPU.PerHandshake > 0.02 {
		t.Fatalf("a handshake is believed to cost %v of a pod, it costs %v: a reconnect storm would look like the end of the world", m.CPU.PerHandshake, s.cpu.PerHandshake)
	}
	f = s.day(p, f, 3600, 3600, func(at float64) float64 { return 0.5 + 0.3*math.Sin(at/170) })
	m = f.Believe(p, m)
	if got := m.CPU.PerMessage; math.Abs(got/s.cpu.PerMessage-1) > 0.15 {
		t.Fatalf("a message is believed to cost %v, it costs %v, and its rate came and went for an hour", got, s.cpu.PerMessage)
	}
}

func TestACostThatChangesIsLearnedAnew(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	s := newSchool()
	f := s.day(p, capacity.Fit{}, 0, 3600, steady)
	m := f.Believe(p, capacity.Model{})
	s.cpu.PerClient *= 1.5
	for from := 3600; from < 8*3600; from += 10 {
		f = s.day(p, f, from, 10, steady)
		m = f.Believe(p, m)
	}
	if got, want := carries(m.CPU, 0.5), carries(s.cpu, 0.5); math.Abs(got/want-1) > 0.05 {
		t.Fatalf("seven hours after a release that costs more a pod is believed to carry %.0f clients, it carries %.0f", got, want)
	}
}

func TestNothingIsLearnedFrom(t *testing.T) {
	t.Parallel()
	prior := func(p policy.Policy) capacity.Model { return capacity.Prior(p) }
	still := func(*school, float64) float64 { return 3000 }
	waves := func(_ *school, at float64) float64 { return 3000 + 1000*math.Sin(at/400) }
	for name, c := range map[string]struct {
		spoil   func(*school)
		clients func(*school, float64) float64
		seconds int
	}{
		"a moment":                               {func(*school) {}, waves, 120},
		"a load that never moves":                {func(s *school) { s.noise = 0 }, still, 7200},
		"CPU that is always the same":            {func(s *school) { s.cpu, s.memory, s.noise = capacity.Cost{Base: 0.1}, capacity.Cost{Base: 0.1}, 0 }, waves, 7200},
		"nodes that report nothing":              {func(s *school) { s.cpu, s.memory, s.noise = capacity.Cost{}, capacity.Cost{}, 0 }, waves, 7200},
		"noise alone":                            {func(s *school) { s.cpu, s.memory, s.noise = capacity.Cost{Base: 0.4}, capacity.Cost{Base: 0.4}, 0.3 }, waves, 7200},
		"pods that cost less the more they hold": {func(s *school) { s.cpu.PerClient, s.cpu.PerMessage, s.cpu.Base = -70e-6, 0, 0.6; s.memory = s.cpu }, waves, 7200},
		"a base that leaves no room":             {func(s *school) { s.cpu = capacity.Cost{Base: 0.8, PerClient: 20e-6}; s.memory = s.cpu; s.noise = 0 }, waves, 7200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := policy.Default()
			p.ConnectionsPerPod = 4000
			s := newSchool()
			c.spoil(s)
			var f capacity.Fit
			m := prior(p)
			for i := range c.seconds {
				n := c.clients(s, float64(i))
				f = f.Learn(p, s.lesson(n, 0.5, 1, 0), 1)
				if i%60 == 0 {
					m = f.Believe(p, m)
				}
			}
			if diff := cmp.Diff(prior(p), m); diff != "" {
				t.Fatalf("the declared capacity gave way to what nobody can know:\n%s", diff)
			}
		})
	}
}

func TestALeapOfCapacityIsNotBelieved(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	s := newSchool()
	f := s.day(p, capacity.Fit{}, 0, 1800, steady)
	m := f.Believe(p, capacity.Model{})
	s.cpu.PerClient, s.cpu.PerMessage = s.cpu.PerClient/20, s.cpu.PerMessage/20
	g := s.day(p, capacity.Fit{}, 0, 1800, steady)
	if next := g.Believe(p, m); next.CPU != m.CPU || !next.LearnedCPU {
		t.Fatalf("a capacity twenty times as large is believed at once: %+v", next.CPU)
	}
}

func TestLearningOffIsThePrior(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.ConnectionsPerPod, p.MessagesPerPod, p.CPUBase = 1000, 4000, 0.07
	s := newSchool()
	f := s.day(p, capacity.Fit{}, 0, 1800, steady)
	p.Learn.Capacity = false
	want := capacity.Model{
		CPU:    capacity.Cost{Base: 0.07, PerClient: 0.4 / 1000, PerMessage: 0.4 / 4000},
		Memory: capacity.Cost{PerClient: 0.425 / 1000, PerMessage: 0.425 / 4000},
	}
	if diff := cmp.Diff(want, f.Believe(p, capacity.Model{}), cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-12 })); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}

// Whatever nodes say, a model has no cost below zero or without end, and the memory can be handed on.
func TestNoLessonMakesAnAbsurdModel(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.Learn.CapacityTeaching = time.Second
	number := rapid.OneOf(rapid.Float64Range(0, 1), rapid.Float64Range(0, 1e6), rapid.SampledFrom([]float64{0, 1, 1e14}))
	rapid.Check(t, func(t *rapid.T) {
		var f capacity.Fit
		m := capacity.Prior(p)
		for range rapid.IntRange(1, 30).Draw(t, "readings") {
			var l capacity.Lesson
			for range rapid.IntRange(0, 4).Draw(t, "nodes") {
				l.Add(number.Draw(t, "clients"), number.Draw(t, "messages"), number.Draw(t, "handshakes"), number.Draw(t, "cpu"), number.Draw(t, "memory"))
			}
			f = f.Learn(p, &l, rapid.Float64Range(-1, 5).Draw(t, "seconds"))
			if err := f.Validate(); err != nil {
				t.Fatal(err)
			}
			m = f.Believe(p, m)
			if err := capacity.Validate(m); err != nil {
				t.Fatalf("%v: %+v", err, m)
			}
			if m.LearnedCPU && m.CPU.Base > 0.7*p.CPUCeiling {
				t.Fatalf("an empty pod is believed to use %v", m.CPU.Base)
			}
		}
	})
}

func TestAFalseFitIsRefused(t *testing.T) {
	t.Parallel()
	for _, x := range []float64{-1, math.NaN(), math.Inf(1)} {
		for name, f := range map[string]capacity.Fit{
			"products": {X: [10]float64{4: x}}, "CPU": {CPU: capacity.Taught{YY: x}}, "memory": {Memory: capacity.Taught{XY: [4]float64{x}}},
		} {
			if f.Validate() == nil {
				t.Errorf("%v in its %s: believed", x, name)
			}
		}
		if capacity.Validate(capacity.Model{Memory: capacity.Cost{PerMessage: x}}) == nil {
			t.Errorf("a message that costs %v: believed", x)
		}
	}
}

func BenchmarkLearn1000Nodes(b *testing.B) {
	p := policy.Default()
	b.ReportAllocs()
	var f capacity.Fit
	for b.Loop() {
		var l capacity.Lesson
		for i := range 1000 {
			l.Add(3000, 1500, 2, 0.7+float64(i)/1e4, 0.5)
		}
		f = f.Learn(p, &l, 1)
	}
}

func BenchmarkBelieve(b *testing.B) {
	p := policy.Default()
	s := newSchool()
	f := s.day(p, capacity.Fit{}, 0, 1800, steady)
	b.ReportAllocs()
	for b.Loop() {
		f.Believe(p, capacity.Model{})
	}
}
