package world

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest/score"
	"github.com/tidegate/tidegate/internal/backtest/trace"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// Choice is how clients of a sticky fleet find a node.
type Choice uint8

// The choices.
const (
	// Chance is a Service: any node that is ready.
	Chance Choice = iota
	// Fewest is a balancer that sends a client to the node with the fewest connections.
	Fewest
	// Room sends newcomers to nodes by the room they have below the placement's ceiling.
	Room
)

// Settle is how many seconds a fleet lives before it is judged.
const Settle = 900

// Options make a world.
type Options struct {
	Physics Physics
	Trace   *trace.Trace
	Seed    uint64
	// Shards makes a movable fleet, of which the balancer's table says who serves whom; 0 is a sticky one.
	Shards int
	Choice Choice
	// Policy is that of placement.
	Policy policy.Policy
	// NeverStart lets no pod start that is made after the beginning.
	NeverStart bool
	// Pods is how many there are at first.
	Pods int
}

// World is a fleet at one second. It is for one goroutine.
type World struct {
	o       Options
	walk    *trace.Walk
	starts  *rand.Rand
	chances *rand.Rand

	now    int
	end    float64
	pods   []*Pod
	spec   int
	made   int
	wanted float64
	rate   float64
	// waiting and returning clients of a sticky fleet, and of shards that nobody owns.
	waiting, returning float64
	moved, cut         float64
	tally              score.Tally
	// changed says that the table's rules have something to look at, news that Kubernetes has something new to tell in facts.
	changed, news bool
	facts         *load.Cluster
	takers        []*Pod
	table         *table
	hot           hotspots
	newcomers     newcomers
}

// New is a fleet that has been at peace for a while, Settle seconds before the trace begins.
func New(o Options) *World {
	w := &World{
		o: o, now: -Settle, end: perSecond(o.Physics.Session), spec: o.Pods,
		walk:   trace.NewWalk(o.Trace, o.Seed, -Settle),
		starts: trace.Rand("starts "+o.Trace.Name, o.Seed), chances: trace.Rand("chances "+o.Trace.Name, o.Seed),
	}
	for range o.Pods {
		p := w.create()
		p.Up, p.State, p.Served, p.ServesSince = w.now, fleet.Serving, true, w.now
	}
	// The first step is the second after this one, so that the trace, the oracle and the world have one clock and one chance.
	w.wanted, w.rate = w.walk.Next()
	clients := w.wanted
	if o.Shards > 0 {
		w.table = newTable(w)
		w.table.settle(clients)
		return w
	}
	for _, p := range w.pods {
		p.home = clients / float64(len(w.pods))
	}
	return w
}

// Order is what a policy wants of the next second: the count that is asked for, who is to leave first, and what load is
// believed to cost.
type Order struct {
	Replicas int
	Victims  []fleet.NodeID
	Model    decision.Model
}

// Step lets a second go by.
func (w *World) Step(o Order) {
	w.now++
	w.moved, w.cut = 0, 0
	w.scale(o)
	w.wanted, w.rate = w.walk.Next()
	w.arise()
	w.befall()
	if w.table != nil {
		w.serveShards()
	} else {
		w.serveSticky(o)
	}
	w.strain()
	w.depart()
	if w.table != nil {
		w.table.turn(o)
	}
	w.judge()
}

// arise lets nodes speak whose time has come.
func (w *World) arise() {
	for _, p := range w.pods {
		if p.Up != w.now || p.Deleted {
			continue
		}
		w.changed, w.news = true, true
		if w.table == nil {
			w.serves(p)
		}
	}
}

// serves marks a node as serving.
func (w *World) serves(p *Pod) {
	p.State, p.Served, p.ServesSince = fleet.Serving, true, w.now
	w.changed, w.news = true, true
}

func (w *World) strain() {
	uneven := w.now%unevenEvery == 0
	for _, p := range w.pods {
		if w.now < p.Up {
			continue
		}
		if uneven {
			const keep = 0.967 // five minutes of memory
			p.uneven = keep*p.uneven + math.Sqrt(1-keep*keep)*w.o.Physics.Unevenness*w.chances.NormFloat64()
		}
		p.strain(&w.o.Physics, w.rate, w.chances.NormFloat64())
	}
}

// unevenEvery is how often, in seconds, the clients of a node may turn out to send more or less than others.
const unevenEvery = 10

// judge adds the second to the score.
func (w *World) judge() {
	if w.now < 0 {
		return
	}
	for _, p := range w.pods {
		if n := p.Clients(); n > 0 {
			w.tally.Clients(score.Node{Clients: n, CPU: p.CPU, Memory: p.Memory, P95: p.P95})
		}
	}
	w.tally.Second(w.Waiting(), len(w.pods), w.moved, w.cut, w.spec)
}

// Waiting are the clients that want to be connected and are not.
func (w *World) Waiting() float64 {
	sum := w.waiting + w.returning
	if w.table != nil {
		for _, p := range w.pods {
			sum += p.waiting + p.returning
		}
	}
	return sum
}

// Connected are the clients on any node.
func (w *World) Connected() float64 {
	sum := 0.0
	for _, p := range w.pods {
		sum += p.Clients()
	}
	return sum
}

// Wanted are the clients that want to be connected.
func (w *World) Wanted() float64 { return w.wanted }

// Now is the second since the trace began; it is negative while the fleet settles.
func (w *World) Now() int { return w.now }

// Spec is the count that is asked for.
func (w *World) Spec() int { return w.spec }

// Pods are those that exist, the oldest first. They are the world's own.
func (w *World) Pods() []*Pod { return w.pods }

// Tally is what was judged so far.
func (w *World) Tally() *score.Tally { return &w.tally }

// Physics are the world's.
func (w *World) Physics() Physics { return w.o.Physics }

// Serving counts the nodes that take their part.
func (w *World) Serving() int {
	n := 0
	for _, p := range w.pods {
		if p.State == fleet.Serving {
			n++
		}
	}
	return n
}

// Silence lets a node send no heartbeats for some seconds; it serves on.
func (w *World) Silence(id fleet.NodeID, seconds int) {
	if i := slices.IndexFunc(w.pods, func(p *Pod) bool { return p.ID == id }); i >= 0 {
		p := w.pods[i]
		p.said, p.silentSince, p.silentUntil = load.Heartbeat{}, w.now, w.now+seconds
		w.speak(p, &p.said)
	}
}

// beginning is the time of second 0 on the fleet's clock.
var beginning = time.Date(2026, time.January, 5, 0, 0, 0, 0, time.UTC)

// clock is a second as the fleet's server stamps it.
func clock(second int) time.Time { return beginning.Add(time.Duration(second) * time.Second) }

// Clock is the time of the present second, as the fleet's server stamps it.
func (w *World) Clock() time.Time { return clock(w.now) }
