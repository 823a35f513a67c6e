package actuator_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/demo/actuator"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/hpa"
)

func TestAPushedDecisionIsActedOnAtOnce(t *testing.T) {
	s, nodes := newScaler(2), newRack()
	a, _ := run(t, config(s.serve(t), nodes, list{}))
	eventually(t, "the first two nodes run", func() bool { return len(nodes.ids()) == 2 })
	s.decide(7, true)
	eventually(t, "seven nodes run", func() bool { return len(nodes.ids()) == 7 })
	s.decide(3, true)
	eventually(t, "three nodes are left", func() bool { return len(nodes.ids()) == 3 })

	sum := a.Summary()
	if sum.Peak != 7 || sum.Crashed != 0 {
		t.Errorf("peak %d and %d crashes, want 7 and none", sum.Peak, sum.Crashed)
	}
	last := sum.Timeline[len(sum.Timeline)-1]
	if last.Desired != 3 || last.Replicas != 3 {
		t.Errorf("the timeline ends with %+v, want 3 of 3", last)
	}
	for i := range sum.Timeline[1:] {
		if sum.Timeline[i+1].At.Before(sum.Timeline[i].At) {
			t.Errorf("the timeline goes back at point %d", i+1)
		}
	}
}

func TestWithoutStreamThePollRemains(t *testing.T) {
	s, nodes := newScaler(2), newRack()
	s.noStream = true
	c := config(s.serve(t), nodes, list{})
	c.Sync = 5 * time.Millisecond
	run(t, c)
	s.decide(6, false)
	eventually(t, "six nodes run", func() bool { return len(nodes.ids()) == 6 })
}

func TestAnEndedStreamIsOpenedAgain(t *testing.T) {
	s, nodes := newScaler(2), newRack()
	s.brittle = true
	run(t, config(s.serve(t), nodes, list{}))
	eventually(t, "the first two nodes run", func() bool { return len(nodes.ids()) == 2 })
	for count := 3; count <= 6; count++ {
		s.decide(count, true)
		eventually(t, fmt.Sprintf("%d nodes run", count), func() bool { return len(nodes.ids()) == count })
	}
}

func TestAFailedCallIsTriedOnceMore(t *testing.T) {
	s, nodes := newScaler(5), newRack()
	s.fail(1)
	run(t, config(s.serve(t), nodes, list{}))
	eventually(t, "five nodes run after one failed call", func() bool { return len(nodes.ids()) == 5 })
}

func TestAScalerWithoutAnswerChangesNothing(t *testing.T) {
	s, nodes := newScaler(9), newRack()
	s.fail(1 << 30)
	c := config(s.serve(t), nodes, list{})
	c.Sync = time.Millisecond
	run(t, c)
	eventually(t, "the scaler was asked many times", func() bool { return s.polled() > 20 })
	if n := len(nodes.ids()); n != 2 {
		t.Fatalf("%d nodes run: without an answer the count must stay", n)
	}
	s.fail(0)
	eventually(t, "nine nodes run once it answers", func() bool { return len(nodes.ids()) == 9 })
}

func TestTheHPAsLimitsApply(t *testing.T) {
	s, nodes := newScaler(19), newRack()
	a, _ := run(t, config(s.serve(t), nodes, list{}))
	eventually(t, "ten pods a period are added and no more", func() bool { return len(nodes.ids()) == 12 })
	if sum := a.Summary(); sum.Peak > 12 {
		t.Errorf("peak %d: the scale-up policy did not apply", sum.Peak)
	}
}

func TestNominatedNodesLeave(t *testing.T) {
	s, nodes := newScaler(6), newRack()
	run(t, config(s.serve(t), nodes, list{ids: []fleet.NodeID{"node-2", "gone-before", "node-5"}}))
	eventually(t, "six nodes run", func() bool { return len(nodes.ids()) == 6 })
	s.decide(4, true)
	eventually(t, "four nodes are left", func() bool { return len(nodes.ids()) == 4 })
	if left := nodes.ids(); left["node-2"] || left["node-5"] {
		t.Errorf("left: %v; the nominated node-2 and node-5 had the least to lose", left)
	}
}

func TestWithoutNominationTheNewestLeave(t *testing.T) {
	s, nodes := newScaler(6), newRack()
	run(t, config(s.serve(t), nodes, list{err: errors.New("no balancer")}))
	eventually(t, "six nodes run", func() bool { return len(nodes.ids()) == 6 })
	s.decide(4, true)
	eventually(t, "four nodes are left", func() bool { return len(nodes.ids()) == 4 })
	if left := nodes.ids(); left["node-5"] || left["node-6"] {
		t.Errorf("left: %v; a ReplicaSet removes the newest", left)
	}
}

func TestANodeThatDiedIsReplaced(t *testing.T) {
	s, nodes := newScaler(3), newRack()
	a, _ := run(t, config(s.serve(t), nodes, list{}))
	eventually(t, "three nodes run", func() bool { return len(nodes.ids()) == 3 })
	nodes.crash("node-2")
	eventually(t, "the dead node is replaced", func() bool { return len(nodes.ids()) == 3 && nodes.ids()["node-4"] })
	if sum := a.Summary(); sum.Crashed != 1 || sum.Removed != 0 {
		t.Errorf("%d crashed, %d removed: want one crash", sum.Crashed, sum.Removed)
	}
}

func TestACrashLoopIsPacedAndNotMultiplied(t *testing.T) {
	for name, breakIt := range map[string]func(*rack){
		"nodes die at once":     func(r *rack) { r.stillborn = true },
		"nodes cannot be begun": func(r *rack) { r.broken = true },
	} {
		t.Run(name, func(t *testing.T) {
			s, nodes := newScaler(2), newRack()
			breakIt(nodes)
			run(t, config(s.serve(t), nodes, list{}))
			eventually(t, "the first two were tried", func() bool {
				nodes.mu.Lock()
				defer nodes.mu.Unlock()
				return nodes.started >= 2 || nodes.broken && nodes.started >= 1
			})
			eventually(t, "the actuator woke many times", func() bool {
				nodes.crash("nobody")
				s.decide(2, true)
				return s.polled() > 20
			})
			nodes.mu.Lock()
			defer nodes.mu.Unlock()
			if nodes.started > 20 {
				t.Errorf("%d starts: a node that cannot start is started without pause", nodes.started)
			}
		})
	}
}

func TestANodeUnderRemovalDoesNotCount(t *testing.T) {
	s, nodes := newScaler(5), newRack()
	nodes.hold = make(chan struct{})
	a, _ := run(t, config(s.serve(t), nodes, list{}))
	eventually(t, "five nodes run", func() bool { return len(nodes.ids()) == 5 })
	s.decide(3, true)
	eventually(t, "two nodes drain", func() bool {
		points := a.Summary().Timeline
		last := points[len(points)-1]
		return last.Leaving == 2 && last.Replicas == 3
	})
	s.decide(4, true)
	eventually(t, "a new node starts while the others drain", func() bool { return len(nodes.ids()) == 6 })
	close(nodes.hold)
	eventually(t, "the drained ones are gone", func() bool { return a.Summary().Removed == 2 })
	if len(nodes.ids()) != 4 {
		t.Errorf("%v run, want four", nodes.ids())
	}
}

func TestStopCutsRemovalsShortAndWaitsForThem(t *testing.T) {
	s, nodes := newScaler(5), newRack()
	nodes.hold = make(chan struct{})
	a, stop := run(t, config(s.serve(t), nodes, list{}))
	eventually(t, "five nodes run", func() bool { return len(nodes.ids()) == 5 })
	s.decide(3, true)
	eventually(t, "two nodes drain", func() bool {
		points := a.Summary().Timeline
		return points[len(points)-1].Leaving == 2
	})
	stop()
	if removed := a.Summary().Removed; removed != 2 {
		t.Errorf("%d removals ended before the actuator: want both", removed)
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	s, nodes := newScaler(2), newRack()
	client := s.serve(t)
	tests := []struct {
		name   string
		change func(*actuator.Config)
		says   string
	}{
		{"no nodes", func(c *actuator.Config) { c.Nodes = nil }, "nodes"},
		{"a negative period", func(c *actuator.Config) { c.Sync = -1 }, "sync"},
		{"bounds the wrong way round", func(c *actuator.Config) { c.HPA = hpa.Shipped(5, 3) }, "5 to 3"},
		{"a start outside the bounds", func(c *actuator.Config) { c.Replicas = 99 }, "99"},
	}
	for _, tc := range tests {
		c := config(client, nodes, list{})
		tc.change(&c)
		if _, err := actuator.New(c); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: got %v", tc.name, err)
		}
	}
	c := config(client, nodes, list{})
	c.Sync, c.PushRetry = 0, 0
	if _, err := actuator.New(c); err != nil {
		t.Errorf("the periods have defaults: %v", err)
	}
}

func TestHTTPVictims(t *testing.T) {
	id := fleet.ID{Namespace: "demo", Name: "chat"}
	answers := map[string]struct {
		code int
		body string
		want []fleet.NodeID
		err  string
	}{
		"victims in order":       {200, `{"fleet":"demo/chat","victims":["b","a"],"tableVersion":4}`, []fleet.NodeID{"b", "a"}, ""},
		"nobody":                 {200, `{"victims":[]}`, []fleet.NodeID{}, ""},
		"an error of the server": {503, "no leader", nil, "no leader"},
		"nonsense":               {200, "<html>", nil, "decode"},
		"an endless answer":      {200, `{"victims":["` + strings.Repeat("x", 2<<20), nil, "decode"},
	}
	for name, tc := range answers {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if got := r.URL.RequestURI(); got != "/api/v1/victims?count=2&fleet=demo%2Fchat" {
					t.Errorf("asked for %s", got)
				}
				w.WriteHeader(tc.code)
				_, _ = fmt.Fprint(w, tc.body)
			}))
			defer server.Close()
			got, err := actuator.NewHTTPVictims(server.URL, id, server.Client()).Victims(t.Context(), 2)
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Fatalf("error %v, want %q", err, tc.err)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
	v := actuator.NewHTTPVictims("http://127.0.0.1:1", id, http.DefaultClient)
	if _, err := v.Victims(t.Context(), 1); err == nil {
		t.Error("nobody listens there, and yet there are victims")
	}
	if _, err := actuator.NewHTTPVictims("://", id, http.DefaultClient).Victims(t.Context(), 1); err == nil {
		t.Error("an address that is none was asked")
	}
}
