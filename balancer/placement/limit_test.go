package placement

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
)

func TestALimitSaysWhatANodeCanReallyCarry(t *testing.T) {
	t.Parallel()
	const ceiling = 0.88
	rapid.Check(t, func(t *rapid.T) {
		slow, believed := rapid.Float64Range(1, 3).Draw(t, "slower"), rapid.Float64Range(0.5, 2).Draw(t, "model")
		m := decision.Model{CPU: decision.Cost{Base: 0.05, PerClient: 1e-4 * believed, PerHandshake: 1e-3}, LearnedCPU: true}
		carries := (ceiling - 0.05) / (1e-4 * slow)
		list := nodes(0, 0, 0.4)
		list[1].Connections = 3500
		pic, clients := Picture{}, 0.1*carries
		for range 300 {
			list[0].Connections = int(clients)
			list[0].HandshakesPerSecond = 0.01 * carries
			list[0].CPU = min(1, 0.05+slow*1e-4*clients+1e-3*list[0].HandshakesPerSecond)
			pic = seen(policy.Default(), m, 1, list, pic)
			if told := pic.Of("node-0").Limit.Sessions; told == 0 {
				clients += 0.01 * carries
			} else if int(clients) < told {
				clients = min(clients+0.01*carries, float64(told))
			}
		}
		if used := 0.05 + slow*1e-4*clients; used > ceiling+0.05 || used < ceiling-0.12 {
			t.Fatalf("a node %.1f times slower, under a model off by %.2f, fills to %.3f: want about %v", slow, believed, used, ceiling)
		}
	})
}

func TestALimitIsToldAnewOnlyWhenItDiffers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := nodes(7500, 0.75, 0.75)
		pic := seen(policy.Default(), perClient(), 20, list, Picture{})
		first := pic.Of("node-0").Limit
		if first.Sessions < 8700 || first.Sessions > 8800 || first.Handshakes < 125 || first.Handshakes > 130 {
			t.Fatalf("limit %+v: want 8,800 sessions and 130 handshakes", first)
		}
		roll := dice(t, "jitter")
		for range 60 {
			list[0].CPU = 0.75 * (0.98 + 0.04*roll())
			pic = seen(policy.Default(), perClient(), 1, list, pic)
		}
		if n := pic.Of("node-0"); n.Limit != first {
			t.Fatalf("limit %+v became %+v for noise: each word is a new table for every node", first, n.Limit)
		}
	})
}

func TestANodeAtItsCeilingAdmitsNobodyNew(t *testing.T) {
	t.Parallel()
	pic := seen(policy.Default(), perClient(), 1, nodes(9300, 0.93, 0.3), Picture{})
	if n := pic.Of("node-0"); n.Limit.Sessions >= 9300 || n.Limit.Sessions < 8000 || n.Limit.Handshakes != 1 {
		t.Errorf("limit %+v with 9,300 clients at 0.93", n.Limit)
	}
	for name, change := range map[string]func(*policy.Policy, *decision.Model){
		"nothing is learned": func(_ *policy.Policy, m *decision.Model) { m.LearnedCPU = false },
		"it is switched off": func(p *policy.Policy, _ *decision.Model) { p.Placement.AdmissionCPU = 0 },
	} {
		p, m := policy.Default(), perClient()
		change(&p, &m)
		pic := seen(p, m, 1, nodes(9300, 0.93, 0.3), Picture{})
		if n := pic.Of("node-0"); n.Limit.Sessions != 0 || n.Limit.Handshakes != 0 {
			t.Errorf("%s: limit %+v, want none: the node goes by its own", name, n.Limit)
		}
	}
}

func TestALimitOfSessionsIsToldOnlyWhereItIsNear(t *testing.T) {
	t.Parallel()
	last := 0
	for _, step := range []struct {
		held float64
		told bool
		why  string
	}{
		{4000, false, "far below"},
		{6600, false, "not near yet"},
		{6900, true, "near"},
		{6200, true, "hardly below where it was told"},
		{5700, false, "far below again"},
		{6600, false, "hardly above where it ended"},
		{9500, true, "above it"},
	} {
		if last = sessionsTold(8800, step.held, last); (last > 0) != step.told {
			t.Errorf("with %.0f of 8,800 sessions, %s, the limit is %d", step.held, step.why, last)
		}
	}
	if got := sessionsTold(-5, 0, 0); got != 1 {
		t.Errorf("an empty node above its ceiling is told %d: it must take nobody", got)
	}
}

func TestARushIsToldOfAtOnce(t *testing.T) {
	t.Parallel()
	list := nodes(5000, 0.5, 0.5)
	pic := seen(policy.Default(), perClient(), 30, list, Picture{})
	if got := pic.Of("node-0").Limit.Handshakes; got != 380 {
		t.Fatalf("a quiet node may take %d handshakes a second, want 380", got)
	}
	list[0].CPU, list[0].Connections = 0.8, 8000
	pic = seen(policy.Default(), perClient(), 15, list, pic)
	if got := pic.Of("node-0").Limit.Handshakes; got > 190 {
		t.Errorf("15 s after the node went from 0.5 to 0.8 CPU it may still take %d handshakes a second: half the CPU of a storm is theirs", got)
	}
}
