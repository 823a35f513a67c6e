package decide_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

var (
	start  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	chatID = fleet.ID{Namespace: "chat", Name: "socket"}
)

// quick is a policy whose waits are short, as the demo's are; one pod carries 100 clients. Capacity is what was declared, since
// no story is long enough to teach another, and load may fall as it likes.
func quick() policy.Policy {
	p := policy.Default()
	p.ConnectionsPerPod = 100
	p.Learn.Capacity, p.Storm.Guard = false, false
	p.ScaleInDelay, p.ScaleInStep = 8*time.Second, 3*time.Second
	p.LevelWindow, p.SlopeShort, p.SlopeLong = 3*time.Second, 12*time.Second, 60*time.Second
	p.HPAPeriod, p.StartTime, p.StartTimeout = 2*time.Second, 2*time.Second, 30*time.Second
	p.DecisionTTL = 20 * time.Second
	p.Steps.OutWait, p.Steps.GrowthWindow, p.Steps.InWait = 5*time.Second, 15*time.Second, 20*time.Second
	return p
}

// learning is a quick policy that learns everything, and quickly too.
func learning() policy.Policy {
	p := quick()
	p.Learn.Capacity, p.Learn.CapacityTeaching, p.Learn.CapacityHalfLife = true, 5*time.Second, 5*time.Minute
	p.Learn.MarginTrust, p.Learn.MarginHalfLife, p.Learn.TrendHalfLife = time.Minute, 10*time.Minute, 10*time.Minute
	p.Storm.Guard, p.Storm.Window, p.Storm.Hold = true, 10*time.Second, 12*time.Second
	p.Settle.Worth, p.Settle.HalfLife = 20*time.Second, 10*time.Minute
	return p
}

// serving is a healthy node with so many clients.
func serving(id string, clients int) load.Node {
	return load.Node{
		Heartbeat: load.Heartbeat{
			Node: fleet.NodeID(id), Connections: clients, MessagesPerSecond: float64(clients) / 10,
			CPU: float64(clients) / 200, Memory: float64(clients) / 250, P95Latency: 5 * time.Millisecond, Uptime: time.Hour,
		},
		State: fleet.Serving, Since: start.Add(-time.Hour),
	}
}

func in(state fleet.State, n load.Node) load.Node {
	n.State = state
	return n
}

func stale(n load.Node) load.Node {
	n.Stale = true
	return n
}

// nodes makes so many serving nodes with so many clients each.
func nodes(count, clients int) []load.Node {
	out := make([]load.Node, count)
	for i := range out {
		out[i] = serving(fmt.Sprintf("node-%03d", i), clients)
	}
	return out
}

// model is a healthy reading of a fleet, so many seconds after the start.
func model(seconds float64, all []load.Node) load.Fleet {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b load.Node) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return load.Fleet{ID: chatID, Now: start.Add(time.Duration(seconds * float64(time.Second))), Reachable: true, Nodes: all}
}

// story feeds models to the rule one second apart and remembers what came out.
type story struct {
	t     *testing.T
	p     policy.Policy
	state decide.State
	last  decision.Decision
	at    float64
}

func tell(t *testing.T, p policy.Policy) *story {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Fatalf("the test's policy is not valid: %v", err)
	}
	return &story{t: t, p: p}
}

// step decides once, a second later, on the fleet that change made of a healthy model.
func (s *story) step(all []load.Node, change ...func(*load.Fleet)) decision.Decision {
	s.t.Helper()
	s.at++
	f := model(s.at, all)
	for _, c := range change {
		c(&f)
	}
	s.last, s.state = decide.Next(s.p, s.state, f)
	return s.last
}

// run decides on the same nodes for so many seconds.
func (s *story) run(seconds int, all []load.Node, change ...func(*load.Fleet)) decision.Decision {
	s.t.Helper()
	for range seconds {
		s.step(all, change...)
	}
	return s.last
}

func (s *story) want(desired int, reason string) {
	s.t.Helper()
	if s.last.Desired != desired || s.last.Reason != reason {
		s.t.Fatalf("after %.0f s: %d nodes for %s, want %d for %s\nnote: %s\nlimited by %q", s.at, s.last.Desired, s.last.Reason, desired, reason, s.last.Note, s.last.LimitedBy)
	}
}

func (s *story) limited(by string) {
	s.t.Helper()
	if s.last.LimitedBy != by {
		s.t.Fatalf("after %.0f s the decision is limited by %q, want %q\nnote: %s", s.at, s.last.LimitedBy, by, s.last.Note)
	}
}

// differ says how two values differ; an absent list is as good as an empty one.
func differ(a, b any) string {
	if reflect.DeepEqual(a, b) {
		return ""
	}
	return cmp.Diff(a, b, cmpopts.EquateEmpty())
}
