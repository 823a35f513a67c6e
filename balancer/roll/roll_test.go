package roll_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/balancer/roll"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

var (
	chat  = fleet.ID{Namespace: "shop", Name: "chat"}
	start = time.UnixMilli(1_900_000_000_000)
)

// at is so many seconds after the start.
func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

// beat is heartbeat number sequence of a node, arriving at that second.
func beat(node fleet.NodeID, sequence uint64, second float64) load.Heartbeat {
	return load.Heartbeat{
		Version: load.Version, Fleet: chat, Node: node, Incarnation: 1, Sequence: sequence,
		State: fleet.Serving, AdminURL: "http://" + string(node), At: at(second), Uptime: time.Duration(sequence) * time.Second,
	}
}

// all is one heartbeat of each node at that second.
func all(second float64, nodes ...fleet.NodeID) []load.Heartbeat {
	var beats []load.Heartbeat
	for _, node := range nodes {
		beats = append(beats, beat(node, uint64(second)+1, second))
	}
	return beats
}

func never(fleet.NodeID) bool { return false }

func always(fleet.NodeID) bool { return true }

// names lists suspects.
func names(suspects []roll.Suspect) string {
	var ids []string
	for _, s := range suspects {
		ids = append(ids, string(s.Node))
	}
	return strings.Join(ids, " ")
}

func TestNodeThatMissesThreeHeartbeatsIsStaleThenSuspect(t *testing.T) {
	p, b := policy.Default(), &roll.Book{}
	for second := range 10 {
		now := float64(second)
		beats := all(now, "a")
		if second < 4 {
			beats = append(beats, all(now, "b")...)
		} else {
			beats = append(beats, all(3, "b")...)
		}
		if bad := b.Read(p, at(now), beats); len(bad) > 0 {
			t.Fatal(bad)
		}
		late := second > 6 // the last heartbeat arrived at 3
		f := b.Fleet(p, chat, roll.Standing{})
		if len(f.Nodes) != 2 || f.Nodes[0].Stale || f.Nodes[1].Stale != late {
			t.Errorf("second %d: %+v, want only b stale and only from second 7", second, f.Nodes)
		}
		if got, want := names(b.Suspects(p)), map[bool]string{true: "b"}[late]; got != want {
			t.Errorf("second %d: suspects %q, want %q", second, got, want)
		}
	}
}

func TestRedisOutageKillsNobody(t *testing.T) {
	p := policy.Default()
	outages := map[string]func(b *roll.Book){
		"readings fail for ten seconds": func(b *roll.Book) {
			for range 10 {
				b.Missed()
			}
		},
		"the loop itself stood still for ten seconds": func(*roll.Book) {},
	}
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			b := &roll.Book{}
			for second := range 5 {
				b.Read(p, at(float64(second)), all(float64(second), "a", "b"))
			}
			outage(b)
			// Redis is back with the heartbeats from before; the nodes take three more seconds to reach it.
			for second := 14; second <= 17; second++ {
				b.Read(p, at(float64(second)), all(4, "a", "b"))
				if suspects := b.Suspects(p); len(suspects) > 0 {
					t.Fatalf("second %d: %v would be probed and could die of an outage of Redis", second, suspects)
				}
			}
			f := b.Fleet(p, chat, roll.Standing{})
			if !f.Nodes[0].Stale || !f.Nodes[1].Stale {
				t.Error("numbers from before the outage pass for fresh: they could scale the fleet in")
			}
			b.Read(p, at(18), all(4, "a", "b"))
			if got := names(b.Suspects(p)); got != "a b" {
				t.Errorf("suspects %q, want both: they stayed silent for as long as Redis was watched", got)
			}
		})
	}
}

func TestUnreadableModelSaysSo(t *testing.T) {
	p, b := policy.Default(), &roll.Book{}
	if b.Fleet(p, chat, roll.Standing{}).Reachable {
		t.Error("a book that never read anything calls Redis reachable")
	}
	b.Read(p, at(0), all(0, "a"))
	b.Missed()
	f := b.Fleet(p, chat, roll.Standing{})
	if f.Reachable || len(f.Nodes) != 1 || !f.Now.Equal(at(0)) {
		t.Errorf("model %+v, want the last one, marked unreachable", f)
	}
}

// silence lets b send nothing from second 1 on and returns the book at that second.
func silence(p policy.Policy, until float64) *roll.Book {
	b := &roll.Book{}
	for second := 0.0; second <= until; second++ {
		b.Read(p, at(second), append(all(second, "a"), all(0, "b")...))
	}
	return b
}

func TestDeath(t *testing.T) {
	p := policy.Default()
	tests := map[string]struct {
		after    float64
		answered bool
		dead     bool
	}{
		"silent for three seconds and the probe fails":   {4, false, true},
		"silent for three seconds but the probe answers": {4, true, false},
		"silent for fifteen seconds though it answers":   {16, true, true},
		"silent for just under fifteen, answering":       {15, true, false},
		"not silent long enough to be judged at all":     {3, false, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := silence(p, test.after)
			b.Judge(p, "b", test.answered)
			if b.Over("b") != test.dead {
				t.Errorf("dead is %v, want %v", b.Over("b"), test.dead)
			}
		})
	}
}

func TestDeadNodeIsAmongTheNodesUntilItsShardsHaveMoved(t *testing.T) {
	p := policy.Default()
	b := silence(p, 4)
	b.Judge(p, "b", false)
	if left := b.Drop(always); len(left) != 0 {
		t.Errorf("dropped %v while it holds shards: it must count as stale until they have moved", left)
	}
	if f := b.Fleet(p, chat, roll.Standing{}); len(f.Nodes) != 2 || !f.Nodes[1].Stale {
		t.Errorf("nodes %+v, want the dead one stale", f.Nodes)
	}
	if left := b.Drop(never); !slices.Equal(left, []fleet.NodeID{"b"}) {
		t.Errorf("dropped %v, want b", left)
	}
	b.Read(p, at(5), append(all(5, "a"), all(0, "b")...))
	if f := b.Fleet(p, chat, roll.Standing{}); len(f.Nodes) != 1 {
		t.Errorf("nodes %+v: the last heartbeat of a dropped node brought it back", f.Nodes)
	}
	b.Read(p, at(6), append(all(6, "a"), beat("b", 9, 6)))
	if f := b.Fleet(p, chat, roll.Standing{}); len(f.Nodes) != 2 || f.Nodes[1].Stale {
		t.Errorf("nodes %+v, want b back: it speaks again", f.Nodes)
	}
}

func TestNodeThatSpeaksAgainIsAlive(t *testing.T) {
	p := policy.Default()
	b := silence(p, 4)
	b.Judge(p, "b", false)
	b.Read(p, at(5), append(all(5, "a"), beat("b", 2, 5)))
	if b.Over("b") || b.Fleet(p, chat, roll.Standing{}).Nodes[1].Stale {
		t.Error("a node that speaks again stays dead")
	}
}

func TestNodeThatSaysItIsGoneIsDroppedAtOnce(t *testing.T) {
	p, b := policy.Default(), &roll.Book{}
	gone := beat("b", 1, 0)
	gone.State = fleet.Gone
	b.Read(p, at(0), append(all(0, "a"), gone))
	if left := b.Drop(never); !slices.Equal(left, []fleet.NodeID{"b"}) {
		t.Errorf("dropped %v, want b", left)
	}
}

func TestHeartbeatThatCannotBeBelievedChangesNothing(t *testing.T) {
	p := policy.Default()
	older := beat("a", 50, 6)
	older.Incarnation = 0
	tests := map[string]struct {
		beat load.Heartbeat
		want string
	}{
		"from the future":       {beat("a", 50, 3600), "future"},
		"a replay of the last":  {beat("a", 6, 6), "sent before"},
		"a replay of an old":    {beat("a", 2, 6), "sent before"},
		"of an earlier life":    {older, "life"},
		"from a stranger ahead": {beat("z", 1, 3600), "future"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := &roll.Book{}
			for second := range 6 {
				b.Read(p, at(float64(second)), all(float64(second), "a"))
			}
			bad := b.Read(p, at(6), []load.Heartbeat{test.beat})
			if len(bad) != 1 || !strings.Contains(bad[0].Error(), test.want) || !strings.Contains(bad[0].Error(), string(test.beat.Node)) {
				t.Errorf("bad %v, want one that names the node and says %q", bad, test.want)
			}
			f := b.Fleet(p, chat, roll.Standing{})
			if len(f.Nodes) != 1 || f.Nodes[0].Sequence != 6 || f.Nodes[0].Age != time.Second {
				t.Errorf("nodes %+v, want a as it was", f.Nodes)
			}
		})
	}
}

func TestNewLifeReplacesTheOld(t *testing.T) {
	p := policy.Default()
	life := func(incarnation int64, second float64) load.Heartbeat {
		h := beat("a", 1, second)
		h.Incarnation = incarnation
		return h
	}
	b := &roll.Book{}
	b.Read(p, at(0), []load.Heartbeat{life(7, 0)})
	if bad := b.Read(p, at(1), []load.Heartbeat{life(8, 1)}); len(bad) != 0 {
		t.Errorf("a later life was refused: %v", bad)
	}
	// Its clock was set back, so the next life counts lower; while the last one speaks, it must be a zombie.
	if bad := b.Read(p, at(2), []load.Heartbeat{life(3, 2)}); len(bad) != 1 {
		t.Errorf("bad %v, want the lower life refused", bad)
	}
	if bad := b.Read(p, at(5), []load.Heartbeat{life(3, 5)}); len(bad) != 0 {
		t.Errorf("a life whose clock was set back is refused for ever: %v", bad)
	}
}

func TestServersClockThatJumpsKillsNobodyAndLeavesNobodyYoungForEver(t *testing.T) {
	p := policy.Default()
	for name, jump := range map[string]float64{"an hour ahead": 3600, "an hour back": -3600} {
		t.Run(name, func(t *testing.T) {
			b := &roll.Book{}
			for second := range 30 {
				b.Read(p, at(float64(second)), all(float64(second), "a"))
			}
			// The new server has the old heartbeat; the node stays away.
			for second := 30.0; second <= 33; second++ {
				b.Read(p, at(second+jump), all(29, "a"))
				if got := names(b.Suspects(p)); got != "" {
					t.Fatalf("suspects %q %v s after the jump: a failover would kill the fleet", got, second-30)
				}
			}
			b.Read(p, at(34+jump), all(29, "a"))
			if got := names(b.Suspects(p)); got != "a" {
				t.Errorf("suspects %q, want a: it was silent for as long as the new server was watched", got)
			}
		})
	}
}

func TestNominatedNodeIsLeaving(t *testing.T) {
	p, b := policy.Default(), &roll.Book{}
	draining := beat("c", 1, 0)
	draining.State = fleet.Draining
	b.Read(p, at(0), append(all(0, "a", "b"), draining))
	f := b.Fleet(p, chat, roll.Standing{Victims: []fleet.NodeID{"b", "c"}})
	got := fmt.Sprint(f.Nodes[0].State, f.Nodes[1].State, f.Nodes[2].State)
	if got != "serving leaving draining" {
		t.Errorf("states %s, want serving leaving draining", got)
	}
}

func TestPendingReplicasAreCountedAndStuckOnesNamed(t *testing.T) {
	p, b := policy.Default(), &roll.Book{}
	p.StartTimeout = 10 * time.Second
	standing := roll.Standing{Desired: 4}
	read := func(second float64, nodes ...fleet.NodeID) load.Fleet {
		b.Read(p, at(second), all(second, nodes...))
		return b.Fleet(p, chat, standing)
	}
	if f := read(0, "a"); f.Pending != 3 || f.Stuck != 0 {
		t.Errorf("pending %d stuck %d, want 3 that were asked for just now", f.Pending, f.Stuck)
	}
	for second := 1.0; second <= 10; second++ {
		read(second, "a", "b")
	}
	if f := read(11, "a", "b"); f.Pending != 2 || f.Stuck != 2 {
		t.Errorf("pending %d stuck %d, want both stuck: no pod takes that long", f.Pending, f.Stuck)
	}
	standing.Desired = 5
	if f := read(12, "a", "b"); f.Pending != 3 || f.Stuck != 2 {
		t.Errorf("pending %d stuck %d, want the new one not stuck", f.Pending, f.Stuck)
	}
	standing.Desired = 2
	if f := read(13, "a", "b"); f.Pending != 0 || f.Stuck != 0 {
		t.Errorf("pending %d stuck %d, want none: nobody is missing", f.Pending, f.Stuck)
	}
}

func TestDrainingNodeIsNotOneOfTheReplicasAskedFor(t *testing.T) {
	p, b := policy.Default(), &roll.Book{}
	draining := beat("c", 1, 0)
	draining.State = fleet.Draining
	b.Read(p, at(0), append(all(0, "a", "b"), draining))
	if f := b.Fleet(p, chat, roll.Standing{Desired: 3}); f.Pending != 1 {
		t.Errorf("pending %d, want 1: a replacement of the draining node is on its way", f.Pending)
	}
}

func TestNodeOfTheTableThatNobodyHeardOfIsStaleThenDead(t *testing.T) {
	p, b := policy.Default(), &roll.Book{}
	named := []fleet.NodeID{"a", "ghost"}
	for second := 0.0; second <= 15; second++ {
		b.Read(p, at(second), all(second, "a"))
		if dead := b.Expect(p, named); len(dead) != 0 {
			t.Fatalf("second %v: %v is dead before it could be heard", second, dead)
		}
		f := b.Fleet(p, chat, roll.Standing{})
		if len(f.Nodes) != 2 || !f.Nodes[1].Stale || f.Nodes[1].Node != "ghost" {
			t.Fatalf("second %v: nodes %+v, want the ghost stale: a fleet that lost its heartbeats must not scale in", second, f.Nodes)
		}
	}
	b.Read(p, at(16), all(16, "a"))
	if dead := b.Expect(p, named); !slices.Equal(dead, []fleet.NodeID{"ghost"}) {
		t.Errorf("dead %v, want the ghost: its shards would never be served again", dead)
	}
	b.Expect(p, []fleet.NodeID{"a"})
	if f := b.Fleet(p, chat, roll.Standing{}); len(f.Nodes) != 1 {
		t.Errorf("nodes %+v: a ghost without shards still holds the fleet", f.Nodes)
	}
}

// TestSilenceOfRedisIsNeverDeath drives random readings, outages and jumps of the clock: whoever is suspected must have
// been silent for three intervals of unbroken, successful readings.
func TestSilenceOfRedisIsNeverDeath(t *testing.T) {
	p := policy.Default()
	rapid.Check(t, func(r *rapid.T) {
		b := &roll.Book{}
		now, last := 0.0, map[fleet.NodeID]float64{}
		var unbroken []float64 // times of successful readings without a failure or a gap between them
		for step := range rapid.IntRange(1, 40).Draw(r, "steps") {
			previous := now
			now += rapid.SampledFrom([]float64{0.25, 1, 1, 1, 2, 5, -100, 3600}).Draw(r, "passes")
			if rapid.IntRange(0, 9).Draw(r, "redis") == 0 {
				b.Missed()
				unbroken = nil
				continue
			}
			if now < previous || now-previous > p.StaleAfter().Seconds() {
				unbroken = nil
			}
			unbroken = append(unbroken, now)
			var beats []load.Heartbeat
			for _, id := range []fleet.NodeID{"a", "b"} {
				if rapid.IntRange(0, 2).Draw(r, "speaks") > 0 {
					last[id] = now
					beats = append(beats, beat(id, uint64(step)+1, now))
				}
			}
			b.Read(p, at(now), beats)
			for _, s := range b.Suspects(p) {
				watched := now - unbroken[0]
				if watched <= p.StaleAfter().Seconds() || last[s.Node] == now {
					r.Fatalf("%s is suspected after %v s of watching, last heard at %v of %v", s.Node, watched, last[s.Node], now)
				}
			}
		}
	})
}
