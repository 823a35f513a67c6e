package decide_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// world is a fleet that obeys its decisions, badly: nodes die, hang, never start and send nonsense, Redis goes away, the
// server's clock jumps, load does what it likes.
type world struct {
	p       policy.Policy
	now     time.Time
	clients float64
	nodes   []*body
	pending []int
	stuck   int
	born    int
	// event and clock are thrown every tick; the more sides, the calmer the world.
	event, clock, lazy *rapid.Generator[int]
	// outage counts the ticks for which Redis stays unreachable.
	outage int
}

// body is one node of the world with the ticks that are left of what it is going through.
type body struct {
	id              fleet.NodeID
	state           fleet.State
	since           time.Time
	starts, drains  int
	silent, forgets int
	dead            bool
	nonsense        int
	connections     int
}

func newWorld(t *rapid.T, p policy.Policy) *world {
	calm := rapid.SampledFrom([]int{50, 200, 600}).Draw(t, "calm")
	w := &world{p: p, now: start, event: die(calm), clock: die(2 * calm), lazy: die(4)}
	count := rapid.IntRange(0, 24).Draw(t, "nodes")
	for range count {
		w.join(fleet.Serving, 0)
	}
	w.clients = float64(count) * rapid.Float64Range(0, 110).Draw(t, "clients a node")
	return w
}

func (w *world) join(state fleet.State, starts int) {
	w.born++
	w.nodes = append(w.nodes, &body{id: fleet.NodeID(fmt.Sprintf("node-%04d", w.born)), state: state, since: w.now, starts: starts})
}

// tick lets a second pass, with what may go wrong in it, and returns what the leader would read.
func (w *world) tick(t *rapid.T) load.Fleet {
	w.now = w.now.Add(w.elapse(t))
	switch w.event.Draw(t, "event") {
	case 0:
		w.clients = float64(rapid.IntRange(0, 3000).Draw(t, "jump"))
	case 1, 10, 11:
		w.clients *= rapid.Float64Range(0.5, 1.6).Draw(t, "factor")
	case 2:
		w.outage = rapid.IntRange(1, 6).Draw(t, "outage")
	case 3:
		w.hurt(t, func(b *body) { b.silent = rapid.IntRange(1, 12).Draw(t, "silent") })
	case 4, 5:
		w.hurt(t, func(b *body) { b.dead, b.silent, b.forgets = true, 99, rapid.IntRange(1, 6).Draw(t, "forgets") })
	case 6:
		w.hurt(t, func(b *body) { b.nonsense = rapid.IntRange(1, 5).Draw(t, "nonsense") })
	case 7:
		w.hurt(t, func(b *body) { b.state, b.drains = fleet.Draining, rapid.IntRange(1, 9).Draw(t, "drains") })
	case 8:
		w.stuck += len(w.pending)
		w.pending = nil
	case 9:
		w.join(fleet.Serving, 0)
	default:
	}
	w.age()
	w.spread(t)
	w.outage = max(0, w.outage-1)
	return w.model()
}

// die throws fair numbers below sides; the integers of rapid lean towards small ones, and every tick would be a disaster.
func die(sides int) *rapid.Generator[int] {
	faces := make([]int, sides)
	for i := range faces {
		faces[i] = i
	}
	return rapid.SampledFrom(faces)
}

// elapse is how long until the leader looks again: mostly a second, now and then a leader change or a jump of the clock.
func (w *world) elapse(t *rapid.T) time.Duration {
	switch w.clock.Draw(t, "clock") {
	case 0:
		return -time.Duration(rapid.IntRange(1, 7200).Draw(t, "back")) * time.Second
	case 1:
		return time.Duration(rapid.IntRange(5, 7200).Draw(t, "ahead")) * time.Second
	case 2:
		return time.Duration(rapid.IntRange(1, 900).Draw(t, "soon")) * time.Millisecond
	default:
		return time.Second
	}
}

func (w *world) hurt(t *rapid.T, harm func(*body)) {
	if len(w.nodes) > 0 {
		harm(w.nodes[rapid.IntRange(0, len(w.nodes)-1).Draw(t, "whom")])
	}
}

// age moves every node on by one tick.
func (w *world) age() {
	var waiting []int
	for _, ticks := range w.pending {
		if ticks > 1 {
			waiting = append(waiting, ticks-1)
			continue
		}
		w.join(fleet.Starting, 2)
	}
	w.pending = waiting
	for _, b := range w.nodes {
		b.silent, b.nonsense = max(0, b.silent-1), max(0, b.nonsense-1)
		switch {
		case b.state == fleet.Starting && b.starts > 0:
			if b.starts--; b.starts == 0 {
				b.state = fleet.Serving
			}
		case b.state == fleet.Draining:
			b.drains--
		}
		if b.dead {
			b.forgets--
		}
	}
	w.nodes = slices.DeleteFunc(w.nodes, func(b *body) bool {
		return b.dead && b.forgets <= 0 || b.state == fleet.Draining && b.drains <= 0
	})
}

// spread shares the clients among the nodes that take any, unevenly.
func (w *world) spread(t *rapid.T) {
	var takers []*body
	for _, b := range w.nodes {
		if b.state == fleet.Serving && !b.dead {
			takers = append(takers, b)
		}
	}
	skew := rapid.IntRange(0, 20).Draw(t, "skew")
	for i, b := range takers {
		b.connections = max(0, int(w.clients)/len(takers)+(i%3-1)*skew)
	}
}

func (w *world) model() load.Fleet {
	f := load.Fleet{ID: chatID, Now: w.now, Reachable: w.outage == 0, Pending: len(w.pending) + w.stuck, Stuck: w.stuck}
	for _, b := range w.nodes {
		n := serving(string(b.id), b.connections)
		n.State, n.Since, n.Stale = b.state, b.since, b.silent > 0
		if b.nonsense > 0 {
			n.CPU, n.Memory, n.MessagesPerSecond = math.NaN(), math.Inf(1), -3
		}
		f.Nodes = append(f.Nodes, n)
	}
	slices.SortFunc(f.Nodes, func(a, b load.Node) int { return cmp.Compare(a.Node, b.Node) })
	return f
}

// obey does what an autoscaler would: start what is missing, drain what was named once it is too much.
func (w *world) obey(t *rapid.T, d decision.Decision) {
	if w.lazy.Draw(t, "lazy") == 3 {
		return
	}
	running := 0
	for _, b := range w.nodes {
		if b.state != fleet.Draining && !b.dead {
			running++
		}
	}
	for range d.Desired - running - len(w.pending) - w.stuck {
		w.pending = append(w.pending, rapid.IntRange(1, 5).Draw(t, "creation"))
	}
	for _, id := range d.Victims {
		for _, b := range w.nodes {
			if b.id == id && running > d.Desired {
				b.state, b.drains = fleet.Draining, rapid.IntRange(1, 6).Draw(t, "drain")
				running--
			}
		}
	}
	w.stuck = max(0, min(w.stuck, d.Desired-running))
}
