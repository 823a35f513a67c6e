package placement

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/shard"
)

// hotFleet is a fleet whose nodes really cost what the model says, times their own slowness.
type hotFleet struct {
	model  decision.Model
	owners []fleet.NodeID
	shards []load.Shard
	slow   []float64
}

func drawHot(t *rapid.T) *hotFleet {
	f := &hotFleet{model: decision.Model{
		CPU:    decision.Cost{Base: 0.05, PerClient: 1e-4, PerMessage: rapid.SampledFrom([]float64{0, 2e-4}).Draw(t, "message")},
		Memory: decision.Cost{Base: 0.1, PerClient: 5e-5}, LearnedCPU: true, LearnedMemory: true,
	}}
	count := rapid.IntRange(2, 8).Draw(t, "nodes")
	roll := dice(t, "load")
	for range count {
		f.slow = append(f.slow, 1+max(0, 2*roll()-1))
	}
	each := 6000 / 48.0
	for s := range 48 * count {
		node := nodes(0, make([]float64, count)...)[s%count].Node
		if roll() < 0.05 {
			node = "node-0"
		}
		f.owners = append(f.owners, node)
		clients := each * (0.4 + 0.8*roll())
		f.shards = append(f.shards, load.Shard{ID: shard.ID(s), Connections: int(clients), MessagesPerSecond: math.Floor(clients * roll())})
	}
	return f
}

// beats are the nodes as they would speak.
func (f *hotFleet) beats() []load.Node {
	list := nodes(0, make([]float64, len(f.slow))...)
	for i := range list {
		n := &list[i]
		for s, owner := range f.owners {
			if owner == n.Node {
				n.Shards = append(n.Shards, f.shards[s])
				n.Connections += f.shards[s].Connections
				n.MessagesPerSecond += f.shards[s].MessagesPerSecond
			}
		}
		n.CPU = f.model.CPU.Base + f.slow[i]*(f.model.CPU.Of(float64(n.Connections), n.MessagesPerSecond, 0)-f.model.CPU.Base)
		n.Memory = f.model.Memory.Of(float64(n.Connections), n.MessagesPerSecond, 0)
	}
	return list
}

func (f *hotFleet) relief(p policy.Policy) Relief {
	pic := Observe(p, f.model, f.beats(), len(f.shards), began, Picture{})
	r := Relief{
		Picture: pic, Owners: f.owners, Givers: map[fleet.NodeID]struct{}{}, Takers: map[fleet.NodeID]struct{}{},
		Cool: p.Placement.HotspotCool, Clients: p.Placement.HotspotRate,
	}
	for i, use := range pic.Project(f.owners) {
		r.Takers[pic.Nodes[i].ID] = struct{}{}
		if use.CPU > p.Placement.HotspotCPU || use.Memory > p.Placement.HotspotMemory {
			r.Givers[pic.Nodes[i].ID] = struct{}{}
		}
	}
	return r
}

func TestHeatPushesNobodyAboveTheCoolLoad(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := drawHot(t)
		r := f.relief(policy.Default())
		r.Clients = rapid.SampledFrom([]float64{100, 1e6}).Draw(t, "rate")
		r.Held = make([]bool, len(f.shards))
		for s := range r.Held {
			r.Held[s] = s%7 == 0
		}
		before := r.Picture.Project(f.owners)
		given, last := map[fleet.NodeID]float64{}, map[fleet.NodeID]float64{}
		for _, h := range Relieve(r) {
			if f.owners[h.Shard] != h.From || h.From == h.To || r.Held[h.Shard] {
				t.Fatalf("%+v: the shard is on %s, held %v", h, f.owners[h.Shard], r.Held[h.Shard])
			}
			if _, gives := r.Givers[h.From]; !gives {
				t.Fatalf("%+v: the giver is not hot", h)
			}
			f.owners[h.Shard] = h.To
			last[h.From] = float64(f.shards[h.Shard].Connections)
			given[h.From] += last[h.From]
		}
		for i, use := range r.Picture.Project(f.owners) {
			if use.most() > before[i].most() && use.most() >= r.Cool {
				t.Fatalf("%s took shards and is at %.3f: the next hotspot", r.Picture.Nodes[i].ID, use.most())
			}
		}
		for id := range given {
			if given[id]-last[id] >= r.Clients {
				t.Fatalf("%s gives %.0f clients at once", id, given[id])
			}
		}
		// What the model says comes true: the fleet is what the model says it is.
		after := f.beats()
		for i := range after {
			if use := max(after[i].CPU, after[i].Memory); use > max(before[i].most(), r.Cool)+0.01 {
				t.Fatalf("%s really comes to %.3f", after[i].Node, use)
			}
		}
	})
}

func TestAHotNodeIsCooledWithAsFewClientsAsItCan(t *testing.T) {
	t.Parallel()
	f := &hotFleet{
		model: decision.Model{CPU: decision.Cost{PerClient: 1e-4, PerMessage: 1e-3}, LearnedCPU: true}, slow: []float64{1, 1, 1},
	}
	for s := range 60 {
		f.owners = append(f.owners, fleet.NodeID([]string{"node-0", "node-1", "node-2"}[s%3]))
		f.shards = append(f.shards, load.Shard{ID: shard.ID(s), Connections: 250})
	}
	f.shards[9].MessagesPerSecond, f.shards[12].MessagesPerSecond = 200, 300
	r := f.relief(policy.Default())
	if len(r.Givers) != 1 {
		t.Fatalf("givers %v", r.Givers)
	}
	if got := Relieve(r); len(got) != 1 || got[0].Shard != 9 {
		t.Errorf("handovers %+v: shard 9 alone takes the node from 1.0 to 0.775, and all others hold as many clients for less", got)
	}
}

func TestAShardTooHeavyForAnyNodeStaysAndTheOthersLeaveIt(t *testing.T) {
	t.Parallel()
	f := &hotFleet{
		model: decision.Model{CPU: decision.Cost{PerClient: 1e-4, PerMessage: 1e-3}, LearnedCPU: true}, slow: []float64{1, 1, 1},
	}
	for s := range 30 {
		f.owners = append(f.owners, fleet.NodeID([]string{"node-0", "node-1", "node-2"}[s%3]))
		f.shards = append(f.shards, load.Shard{ID: shard.ID(s), Connections: 50})
	}
	f.shards[0].MessagesPerSecond = 900
	for range 20 {
		for _, h := range Relieve(f.relief(policy.Default())) {
			f.owners[h.Shard] = h.To
		}
	}
	held := slices.IndexFunc(f.owners[1:], func(id fleet.NodeID) bool { return id == "node-0" })
	if f.owners[0] != "node-0" || held >= 0 {
		t.Errorf("owners %v: want the heavy shard alone, and where it was", f.owners)
	}
}

func TestWithoutATakerOrAGiverNothingMoves(t *testing.T) {
	t.Parallel()
	f := &hotFleet{model: decision.Model{CPU: decision.Cost{PerClient: 1e-4}, LearnedCPU: true}, slow: []float64{1, 1}}
	for s := range 20 {
		f.owners = append(f.owners, fleet.NodeID([]string{"node-0", "node-1"}[s%2]))
		f.shards = append(f.shards, load.Shard{ID: shard.ID(s), Connections: 900})
	}
	r := f.relief(policy.Default())
	if got := Relieve(r); len(r.Givers) != 2 || got != nil {
		t.Errorf("two hot nodes exchange %+v", got)
	}
	r.Takers = nil
	if got := Relieve(r); got != nil {
		t.Errorf("nobody takes, but %+v", got)
	}
}

func BenchmarkRelieve1024x100(b *testing.B) {
	b.ReportAllocs()
	f := &hotFleet{model: decision.Model{CPU: decision.Cost{PerClient: 1e-4}, LearnedCPU: true}, slow: make([]float64, 100)}
	for i := range f.slow {
		f.slow[i] = 1
	}
	f.slow[3] = 1.4
	list := nodes(0, f.slow...)
	for s := range 1024 {
		f.owners = append(f.owners, list[s%100].Node)
		f.shards = append(f.shards, load.Shard{ID: shard.ID(s), Connections: 640})
	}
	r := f.relief(policy.Default())
	if len(Relieve(r)) == 0 {
		b.Fatal("nothing moves")
	}
	for b.Loop() {
		Relieve(r)
	}
}

func BenchmarkObserve1024x100(b *testing.B) {
	b.ReportAllocs()
	f := &hotFleet{model: decision.Model{CPU: decision.Cost{PerClient: 1e-4}, LearnedCPU: true}, slow: make([]float64, 100)}
	list := nodes(0, f.slow...)
	for s := range 1024 {
		f.owners = append(f.owners, list[s%100].Node)
		f.shards = append(f.shards, load.Shard{ID: shard.ID(s), Connections: 640})
	}
	beats, pic := f.beats(), Picture{At: began}
	for b.Loop() {
		pic = Observe(policy.Default(), f.model, beats, 1024, pic.At.Add(time.Second), pic)
	}
}
