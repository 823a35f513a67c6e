package balancer

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/fleet"
)

func (w *world) follower() *Follower {
	w.t.Helper()
	f := Follow(Deps{Redis: w.connect(), Timeout: timeout, Shards: shards, Policies: func(fleet.ID) policy.Policy { return w.policy }}, chat)
	w.later = append(w.later, f.Close)
	return f
}

func TestAFollowerSeesWhatTheLeaderSees(t *testing.T) {
	w := newWorld(t, ids(3)...)
	leader, f := w.replica(), w.follower()
	leader.elect(1)
	follow := func(seconds int) {
		for range seconds {
			w.run(1, leader)
			f.Look(t.Context())
		}
	}
	follow(10)
	w.kill("chat-1")
	follow(20)
	seen, _ := leader.views.Load(chat)
	want, got := seen.(*view), f.Look(t.Context())
	if diff := cmp.Diff(want.model, got.Model); diff != "" {
		t.Errorf("a recording would differ from what was decided on (-leader +follower):\n%s", diff)
	}
	// The leader stores what differs at once, and its working every few seconds.
	if differs(want.decision, got.Decision) {
		t.Errorf("the follower knows of %+v, decided is %+v", got.Decision, want.decision)
	}
	memory, err := f.Memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	state, err := decide.DecodeState(memory)
	if err != nil || state.Last.Sequence != want.decision.Sequence {
		t.Errorf("the memory is of decision %d (%v), want %d", state.Last.Sequence, err, want.decision.Sequence)
	}
}

func TestAFollowerChangesNothing(t *testing.T) {
	w := newWorld(t, ids(2)...)
	leader, f := w.replica(), w.follower()
	leader.elect(1)
	w.run(6, leader)
	w.kill("chat-1") // whose heartbeat a leader removes in the end
	leader.resign()
	w.pass()
	before := w.server.Dump()
	for range 40 {
		w.now = w.now.Add(1e9)
		w.server.SetTime(w.now)
		f.Look(t.Context())
	}
	if diff := cmp.Diff(before, w.server.Dump()); diff != "" {
		t.Errorf("a recorder wrote to Redis:\n%s", diff)
	}
}

func TestAFollowerHoldsWhatItKnewWhileRedisIsAway(t *testing.T) {
	w := newWorld(t, ids(2)...)
	leader, f := w.replica(), w.follower()
	leader.elect(1)
	w.run(6, leader)
	if s := f.Look(t.Context()); !s.Model.Reachable || len(s.Model.Nodes) != 2 {
		t.Fatalf("sees %d nodes", len(s.Model.Nodes))
	}
	w.server.SetError("LOADING")
	s := f.Look(t.Context())
	if s.Model.Reachable || len(s.Model.Nodes) != 2 || s.Decision.Sequence == 0 {
		t.Errorf("without Redis it sees %d nodes, reachable %v, decision %d: want those known before, not reachable", len(s.Model.Nodes), s.Model.Reachable, s.Decision.Sequence)
	}
	if _, err := f.Memory(t.Context()); err == nil {
		t.Error("no word of the memory that could not be read")
	}
}

func TestAWrongPolicyFileIsNamed(t *testing.T) {
	w := newWorld(t)
	if _, _, err := (FollowOptions{PolicyFile: "/nowhere.json"}).Open(Deps{Redis: w.client}, chat); err == nil {
		t.Error("the file does not exist, and nobody says so")
	}
	f, beside, err := (FollowOptions{}).Open(Deps{Redis: w.client}, chat)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	beside(t.Context())
	p, err := json.Marshal(f.Look(t.Context()).Policy)
	want, err2 := json.Marshal(policy.Default())
	if err != nil || err2 != nil || string(p) != string(want) {
		t.Errorf("the policy is %s, want the built-in one", p)
	}
}
