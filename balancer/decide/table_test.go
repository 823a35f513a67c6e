package decide_test

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// tableMode is the default policy running the table alone: its waits are the design's.
func tableMode() policy.Policy {
	p := policy.Default()
	p.Kind = policy.Table
	return p
}

// reading makes so many equal nodes with the readings that the table looks at.
func reading(count int, cpu, memory float64, latency, lag time.Duration) []load.Node {
	all := nodes(count, 100)
	for i := range all {
		all[i].CPU, all[i].Memory, all[i].P95Latency, all[i].InboxLag = cpu, memory, latency, lag
	}
	return all
}

const ms = time.Millisecond

func TestTableModeStepsOutByUrgency(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		nodes  []load.Node
		want   int
		reason string
	}{
		"critical adds three": {reading(6, 0.71, 0.5, 0, 0), 9, decision.ReasonOverload},
		"high adds two":       {reading(6, 0.55, 0.5, 600*ms, 0), 8, decision.ReasonLatency},
		"backlog adds two":    {reading(6, 0.55, 0.5, 0, 600*ms), 8, decision.ReasonBacklog},
		"moderate adds one":   {reading(6, 0.61, 0.66, 310*ms, 310*ms), 7, decision.ReasonPressure},
		"balanced adds none":  {reading(6, 0.55, 0.5, 0, 0), 6, decision.ReasonBalanced},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tell(t, tableMode())
			s.step(reading(6, 0.4, 0.4, 0, 0))
			s.step(c.nodes)
			s.want(c.want, c.reason)
			if s.last.Policy != "table" || s.last.Working.Want != c.want {
				t.Fatalf("policy %q wants %d", s.last.Policy, s.last.Working.Want)
			}
		})
	}
}

func TestTableModeHoldsWhileAnythingStarts(t *testing.T) {
	t.Parallel()
	s := tell(t, tableMode())
	hot := reading(6, 0.8, 0.5, 0, 0)
	s.step(reading(6, 0.4, 0.4, 0, 0))
	s.step(hot)
	s.want(9, decision.ReasonOverload)
	for range 600 {
		s.step(hot, func(f *load.Fleet) { f.Pending = 3 })
		s.want(9, decision.ReasonOverload)
	}
	s.limited(decision.LimitStarting)
	// The pods are given up as stuck: six still serve, so the table asks for nine once more and not for twelve.
	s.run(600, hot, func(f *load.Fleet) { f.Pending, f.Stuck = 3, 3 })
	s.want(9, decision.ReasonOverload)
}

func TestTableModeWaitsAMinuteBetweenSteps(t *testing.T) {
	t.Parallel()
	s := tell(t, tableMode())
	s.step(reading(6, 0.4, 0.4, 0, 0))
	s.step(reading(6, 0.8, 0.5, 0, 0))
	first := s.at
	for s.at < first+59 {
		s.step(reading(9, 0.8, 0.5, 0, 0))
		s.want(9, decision.ReasonOverload)
	}
	s.limited(decision.LimitTableWait)
	s.step(reading(9, 0.8, 0.5, 0, 0))
	// Three for critical and one because it is the second scale-out in a row.
	s.want(13, decision.ReasonOverload)
	s.run(60, reading(13, 0.8, 0.5, 0, 0))
	// Three for critical and two for the third in a row: five is also the most.
	s.want(18, decision.ReasonOverload)
	s.run(60, reading(18, 0.8, 0.5, 0, 0))
	s.want(23, decision.ReasonOverload)
	s.limited("")
}

func TestAStreakEndsAfterThreeMinutes(t *testing.T) {
	t.Parallel()
	s := tell(t, tableMode())
	s.step(reading(6, 0.4, 0.4, 0, 0))
	s.step(reading(6, 0.8, 0.5, 0, 0))
	s.run(179, reading(9, 0.5, 0.5, 0, 0))
	s.step(reading(9, 0.8, 0.5, 0, 0))
	s.want(12, decision.ReasonOverload)
}

func TestGrowthSinceTheLastScaleOutAddsNodes(t *testing.T) {
	t.Parallel()
	base := func(count, clients int, latency time.Duration) []load.Node {
		all := reading(count, 0.61, 0.66, latency, 310*ms)
		for i := range all {
			all[i].Connections, all[i].MessagesPerSecond = clients, float64(clients)
		}
		return all
	}
	for name, c := range map[string]struct {
		then   []load.Node
		want   int
		reason string
	}{
		// Moderate adds one, the second in a row one more.
		"the same load a node":       {base(7, 100, 310*ms), 7 + 2, decision.ReasonPressure},
		"messages and clients twice": {base(7, 200, 310*ms), 7 + 2 + 1, decision.ReasonPressure},
		"ten times them":             {base(7, 1000, 310*ms), 7 + 2 + 2, decision.ReasonPressure},
		// High adds two; latency a thousand times over still counts twice only, so nothing is added for growth.
		"latency counts twice at the most": {base(7, 100, 310*time.Second), 7 + 3, decision.ReasonLatency},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tell(t, tableMode())
			s.step(reading(6, 0.4, 0.4, 0, 0))
			s.step(base(6, 100, 310*ms))
			s.want(7, decision.ReasonPressure)
			s.run(59, reading(7, 0.4, 0.4, 0, 0))
			s.step(c.then)
			s.want(c.want, c.reason)
		})
	}
}

func TestTableModeStepsInOneAtATime(t *testing.T) {
	t.Parallel()
	s := tell(t, tableMode())
	quiet := reading(6, 0.1, 0.2, 10*ms, 10*ms)
	s.run(300, quiet)
	s.want(6, decision.ReasonBalanced)
	s.limited(decision.LimitTableWait)
	s.step(quiet)
	s.want(5, decision.ReasonQuiet)
	if len(s.last.Victims) != 1 {
		t.Fatalf("victims %v, want one", s.last.Victims)
	}
	left := leave(quiet, s.last.Victims)
	s.run(299, left)
	s.want(5, decision.ReasonBalanced)
	s.step(left)
	s.want(4, decision.ReasonQuiet)
}

func TestTableModeStaysWhen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		nodes  []load.Node
		change func(*load.Fleet)
		limit  string
	}{
		"CPU is not quiet":                {reading(6, 0.201, 0.1, 0, 0), nil, ""},
		"memory is not quiet":             {reading(6, 0.1, 0.25, 0, 0), nil, ""},
		"latency is not quiet":            {reading(6, 0.1, 0.1, 250*ms, 0), nil, ""},
		"lag is not quiet":                {reading(6, 0.1, 0.1, 0, 250*ms), nil, ""},
		"one node is stale":               {append(reading(5, 0.1, 0.1, 0, 0), stale(serving("zz", 10))), nil, decision.LimitStale},
		"one is leaving":                  {append(reading(5, 0.1, 0.1, 0, 0), in(fleet.Leaving, serving("zz", 10))), nil, decision.LimitBudget},
		"a pod starts":                    {reading(6, 0.1, 0.1, 0, 0), func(f *load.Fleet) { f.Pending = 1 }, decision.LimitStarting},
		"no more than the minimum serves": {reading(2, 0.1, 0.1, 0, 0), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tell(t, tableMode())
			s.step(c.nodes)
			first := s.last.Desired
			for range 700 {
				if c.change != nil {
					s.step(c.nodes, c.change)
				} else {
					s.step(c.nodes)
				}
				if s.last.Desired != first {
					t.Fatalf("went from %d to %d: %s", first, s.last.Desired, s.last.Note)
				}
			}
			s.limited(c.limit)
		})
	}
}

func TestTableModeKeepsWhatTheRestCannotCarry(t *testing.T) {
	t.Parallel()
	p := tableMode()
	p.MinReplicas = 1
	p.Steps.QuietCPU, p.Steps.QuietMemory = 0.45, 0.45
	s := tell(t, p)
	// 0.26 x 2 / 1 is 0.52.
	s.run(400, reading(2, 0.26, 0.2, 0, 0))
	s.want(2, decision.ReasonBalanced)
	s.limited(decision.LimitHeadroom)
}
