package move

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/placement"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/shard"
)

// oven is a fleet whose nodes differ in speed, under a leader that looks every second. Clients follow their shard some seconds
// after it has flipped.
type oven struct {
	policy  policy.Policy
	model   decision.Model
	now     time.Time
	slow    []float64
	clients []float64
	sits    []fleet.NodeID // where the clients of each shard are
	flipped []time.Time

	table   *shard.Table
	picture placement.Picture
	cooling Cooling
	heated  []time.Time
	noise   func() float64

	hot []Change // of the last step
	all []Change
}

const ovenShards = 40

func newOven(nodes int, load float64, learned bool) *oven {
	const capacity = 5000
	o := &oven{
		policy: policy.Default(), now: time.UnixMilli(1_900_000_000_000), noise: func() float64 { return 1 },
		model: decision.Model{CPU: decision.Cost{Base: 0.02, PerClient: 0.98 / capacity}, LearnedCPU: learned},
		table: New(testFleet(), ovenShards*nodes), flipped: make([]time.Time, ovenShards*nodes),
	}
	for range nodes {
		o.slow = append(o.slow, 1)
	}
	for range ovenShards * nodes {
		o.clients = append(o.clients, load*capacity/ovenShards)
	}
	o.sits = make([]fleet.NodeID, len(o.clients))
	o.step()
	for s, row := range o.table.Rows {
		o.sits[s] = row.Owner
	}
	for range 30 {
		o.step()
	}
	return o
}

// beats are what the nodes say; what they use follows from who sits on them.
func (o *oven) beats() []load.Node {
	list, index := make([]load.Node, len(o.slow)), map[fleet.NodeID]int{}
	for i := range list {
		list[i].Node, list[i].State = nodeName(i), fleet.Serving
		index[nodeName(i)] = i
	}
	for s, at := range o.sits {
		if i, sits := index[at]; sits {
			list[i].Connections += int(o.clients[s])
			list[i].Shards = append(list[i].Shards, load.Shard{ID: shard.ID(s), Connections: int(o.clients[s])})
		}
	}
	for i := range list {
		n := &list[i]
		n.CPU = min(1, (o.model.CPU.Base+o.slow[i]*o.model.CPU.PerClient*float64(n.Connections))*o.noise())
	}
	return list
}

// step is one second of the leader; shards that were to move are ready at the next.
func (o *oven) step() {
	o.now = o.now.Add(time.Second)
	for s, row := range o.table.Rows {
		if o.sits[s] != row.Owner && o.now.Sub(o.flipped[s]) > 3*time.Second {
			o.sits[s] = row.Owner
		}
	}
	learned := o.model
	if !learned.LearnedCPU {
		learned = decision.Model{}
	}
	beats := o.beats()
	o.picture = placement.Observe(o.policy, learned, beats, len(o.clients), o.now, o.picture)
	heat := o.cooling.Look(o.table, o.now, o.picture, o.policy.Placement)
	in := Input{Loads: o.picture.Loads, Fence: 1, Now: o.now, Heated: o.heated, Heat: heat}
	for i := range beats {
		in.Members = append(in.Members, Member{
			ID: beats[i].Node, URL: "ws://" + string(beats[i].Node), State: fleet.Serving, Ready: always,
			Weight: o.picture.Of(beats[i].Node).Weight, Limit: o.picture.Of(beats[i].Node).Limit,
		})
	}
	next, changes := Step(o.table, in)
	o.heated = NoteHeat(o.heated, changes, o.now)
	o.cooling.Note(changes, heat, o.now)
	for s := range next.Rows {
		if next.Rows[s].Owner != o.table.Rows[s].Owner {
			o.flipped[s] = o.now
		}
	}
	o.table, o.hot = next, nil
	for _, c := range changes {
		if c.Reason == ReasonHotspot {
			o.hot = append(o.hot, c)
		}
	}
	o.all = append(o.all, changes...)
}

func (o *oven) uses() []float64 {
	var uses []float64
	for _, n := range o.beats() {
		uses = append(uses, n.CPU)
	}
	return uses
}

// TestAHotNodeGivesAwayWhatOthersCanTake runs a fleet of which a node becomes slow, for five minutes.
func TestAHotNodeGivesAwayWhatOthersCanTake(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(3, 5).Draw(t, "nodes")
		o := newOven(nodes, rapid.Float64Range(0.5, 0.68).Draw(t, "load"), rapid.Bool().Draw(t, "learned"))
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "noise"), 0))
		o.noise = func() float64 { return 0.98 + 0.04*random.Float64() }
		o.all, o.policy.Placement.HeatRest = nil, 2*time.Minute
		o.slow[0] = rapid.Float64Range(1.1, 1.9).Draw(t, "slow")
		moved, first := map[shard.ID]time.Time{}, map[fleet.NodeID]time.Time{}
		given, newest := map[fleet.NodeID]float64{}, map[fleet.NodeID]float64{}
		for range 300 {
			o.step()
			for _, c := range o.hot {
				if at, before := moved[c.Shard]; before && o.now.Sub(at) < o.policy.Placement.HeatRest {
					t.Fatalf("shard %d moves for heat again after %s", c.Shard, o.now.Sub(at))
				}
				moved[c.Shard] = o.now
				if first[c.From].IsZero() {
					first[c.From] = o.now
				}
				newest[c.From] = o.clients[c.Shard]
				given[c.From] += newest[c.From]
				// All but the newest shard had to fit into the time since the first, and the second it was given in.
				if past := o.now.Sub(first[c.From]).Seconds() + 1; given[c.From]-newest[c.From] > o.policy.Placement.HotspotRate*past {
					t.Fatalf("%s gives %.0f clients in %.0f s: they reconnect all at once", c.From, given[c.From], past)
				}
			}
		}
		uses, mean := o.uses(), 0.0
		for _, use := range uses {
			mean += use / float64(len(uses))
		}
		if hottest := slices.Max(uses); mean < 0.78 && hottest > 0.88 {
			t.Fatalf("a node is at %.3f after five minutes while the fleet has room: %v", hottest, uses)
		}
		for _, c := range o.all {
			if c.Kind == Next && c.To == nodeName(0) {
				t.Fatalf("shard %d comes back to the slow node: %+v", c.Shard, c)
			}
		}
	})
}

func TestJitterOfUseMovesNothing(t *testing.T) {
	t.Parallel()
	for _, load := range []float64{0.3, 0.6, 0.8} {
		o := newOven(5, load, true)
		random := rand.New(rand.NewPCG(1, 2))
		o.noise = func() float64 { return 0.98 + 0.04*random.Float64() }
		version := o.table.Version
		o.all = nil
		for range 300 {
			o.step()
		}
		if len(o.all) != 0 {
			t.Errorf("at %v load %d changes for 2 %% of jitter: %+v", load, len(o.all), o.all[0])
		}
		if o.table.Version > version+3 {
			t.Errorf("at %v load %d tables for 2 %% of jitter", load, o.table.Version-version)
		}
	}
}

func TestNobodyGivesWhereTheWholeFleetIsHotOrMovesAreOff(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*oven){
		"the mean is above its limit": func(o *oven) {
			for s := range o.clients {
				o.clients[s] *= 1.3
			}
		},
		"moves are switched off": func(o *oven) { o.policy.Placement.HotspotRate = 0 },
	} {
		o := newOven(4, 0.65, true)
		o.policy.Placement.WeightSpread = 0
		change(o)
		o.slow[1] = 1.5
		for range 120 {
			o.step()
			if len(o.hot) > 0 {
				t.Fatalf("%s: %+v", name, o.hot[0])
			}
		}
	}
}

func TestAFullNodeIsMarkedUntilItHasRoomAgain(t *testing.T) {
	t.Parallel()
	o := newOven(3, 0.6, true)
	o.policy.Placement.HotspotRate, o.policy.Placement.WeightSpread = 0, 0
	full := func() bool {
		o.step()
		heat := o.cooling.Look(o.table, o.now, o.picture, o.policy.Placement)
		_, is := heat.Full[nodeName(0)]
		return is
	}
	for want, slow := range map[bool]float64{false: 1.2, true: 1.45} {
		o.slow[0] = slow
		for range 60 {
			o.step()
		}
		if got := full(); got != want {
			t.Errorf("at %.2f CPU full is %v", o.uses()[0], got)
		}
		o.slow[0] = 1
		for range 60 {
			o.step()
		}
	}
	o.slow[0] = 1.45
	for range 60 {
		o.step()
	}
	o.slow[0] = 1.33 // 0.80: above where it opens again
	for range 60 {
		o.step()
	}
	if !full() {
		t.Errorf("at %.2f CPU the node takes shards again: it would be hot at once", o.uses()[0])
	}
}

func TestLimitsReachTheTable(t *testing.T) {
	t.Parallel()
	o := newOven(3, 0.75, true)
	want := o.picture.Of(nodeName(0)).Limit
	if got := o.table.Nodes[nodeName(0)].Limit; got != want || got.Sessions < 4000 {
		t.Errorf("the table tells %+v, the picture %+v", got, want)
	}
}
