package balancer

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
)

func TestVictimsEndpoint(t *testing.T) {
	w := newWorld(t, ids(3)...)
	leader, follower := w.replica(), w.replica()
	w.nodes["chat-2"].connections = 1
	leader.elect(100)
	w.run(5, leader, follower)
	version := strconv.FormatUint(w.table().Version, 10)
	tests := map[string]struct {
		query  string
		status int
		body   string
	}{
		"the first to go":               {"?fleet=shop/chat", 200, `{"fleet":"shop/chat","victims":["chat-2"],"tableVersion":` + version + `}`},
		"two of them":                   {"?fleet=shop/chat&count=2", 200, `"victims":["chat-2","chat-0"]`},
		"more than there are":           {"?fleet=shop/chat&count=99", 200, `"victims":["chat-2","chat-0","chat-1"]`},
		"no fleet":                      {"?count=1", 400, "namespace/name"},
		"a fleet that is no id":         {"?fleet=chat", 400, "namespace/name"},
		"a fleet nobody knows":          {"?fleet=shop/other", 404, "shop/other"},
		"a count that is no number":     {"?fleet=shop/chat&count=many", 400, "many"},
		"a count of none":               {"?fleet=shop/chat&count=0", 400, "from 1"},
		"a count beyond all reason":     {"?fleet=shop/chat&count=1e9", 400, "1e9"},
		"a count that overflows an int": {"?fleet=shop/chat&count=99999999999999999999", 400, "from 1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for replica, r := range map[string]*replica{"leader": leader, "follower": follower} {
				status, body := get(t, r.Admin(), keys.PathVictims+test.query)
				if status != test.status || !strings.Contains(body, test.body) {
					t.Errorf("%s answers %d %s, want %d with %s", replica, status, body, test.status, test.body)
				}
			}
		})
	}
	if status, _ := get(t, leader.Handler(), keys.PathVictims+"?fleet=shop/chat"); status != http.StatusNotFound {
		t.Errorf("the public side answers victims with %d: strangers could read the fleet's nodes", status)
	}
	if status, body := get(t, follower.Admin(), keys.PathDecision+"?fleet=shop/chat"); status != 200 || !strings.Contains(body, `"desired":`) {
		t.Errorf("a follower's decision: %d %s", status, body)
	}
	if status, _ := get(t, leader.Admin(), keys.PathHealth); status != http.StatusOK {
		t.Error("not healthy")
	}
}

func TestDrainingNodeIsNotAnsweredAsWhoLeavesNext(t *testing.T) {
	w := newWorld(t, ids(4)...)
	leader, follower := w.replica(), w.replica()
	leader.elect(100)
	w.run(6, leader, follower)
	w.nodes["chat-1"].state = fleet.Draining
	w.nodes["chat-3"].connections = 1
	w.run(1, leader, follower)
	for name, r := range map[string]*replica{"leader": leader, "follower": follower} {
		_, body := get(t, r.Admin(), keys.PathVictims+"?fleet=shop/chat&count=1")
		if !strings.Contains(body, `"victims":["chat-3"]`) {
			t.Errorf("the %s answers %s: chat-1 has left already, so nobody would be stamped and the newest pod would go", name, body)
		}
		_, body = get(t, r.Admin(), keys.PathVictims+"?fleet=shop/chat&count=9")
		if strings.Contains(body, "chat-1") {
			t.Errorf("the %s answers %s, with the node that drains", name, body)
		}
	}
}

func TestWhoHearsOfADecisionCanAskAtOnceWhoLeaves(t *testing.T) {
	w := newWorld(t, ids(5)...)
	w.policy.ScaleInDelay, w.policy.ScaleInStep = 8*time.Second, 3*time.Second
	var leader *replica
	var answers []string
	var shown *view
	// The scaler pushes a decision as soon as it is stored, and the webhook asks within the same millisecond.
	leader = w.replica(func(d *Deps) {
		d.Redis.AddHook(spy(func(cmd redis.Cmder) {
			if writes(cmd, keys.Decision(chat)) {
				_, body := get(t, leader.Admin(), keys.PathVictims+"?fleet=shop/chat&count=1")
				answers = append(answers, body)
				seen, _ := leader.views.Load(chat)
				shown = seen.(*view)
			}
		}))
	})
	leader.elect(100)
	for _, n := range w.nodes {
		n.connections = 900
	}
	w.run(15, leader)
	for _, n := range w.nodes {
		n.connections = 300
	}
	w.nodes["chat-3"].connections = 200
	nominated := 0
	for range 40 {
		answers = nil
		w.run(1, leader)
		// The node with the least to lose changes every second: what is nominated must not.
		w.nodes["chat-0"].connections = 500 - w.nodes["chat-0"].connections
		d := w.decision()
		if len(d.Victims) == 0 || len(answers) == 0 {
			continue
		}
		nominated++
		for _, n := range shown.model.Nodes {
			if n.Node == d.Victims[0] && n.State != fleet.Leaving {
				t.Fatalf("%s is shown as %s while its nomination is stored", n.Node, n.State)
			}
		}
		if want := `"victims":["` + string(d.Victims[0]) + `"]`; !strings.Contains(answers[len(answers)-1], want) {
			t.Fatalf("while the decision is stored the answer is %s, want %s: the pod that leaves would not be the one that was prepared", answers[len(answers)-1], want)
		}
	}
	if nominated == 0 {
		t.Fatal("nobody was ever nominated")
	}
}
