package world

import (
	"fmt"
	"math"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/drain"
)

// never is a second that no run reaches.
const never = math.MaxInt32

// Pod is one pod of the fleet, and the node in it. Only the world changes it.
type Pod struct {
	ID fleet.NodeID
	// Created and Up are seconds: when the pod was made, and when its node first speaks.
	Created, Up int
	// State is its own word, but for Leaving, which the table makes of a nomination.
	State fleet.State
	// Served says that it once served; ServesSince when that began.
	Served      bool
	ServesSince int
	// Deleted says that it was asked to go, and must be gone at the deadline.
	Deleted  bool
	deadline int

	speed, uneven, taken float64
	takenUntil           int
	// home are its clients, and strand those of them whose shard another node owns by now.
	home, strand float64
	// waiting and returning want one of its shards, and have none of its connections.
	waiting, returning float64
	heavy              heavies

	CPU, Memory float64
	P95         time.Duration
	backlog     float64
	// use is what its leisure goes by.
	use float64
	// limit is what the balancer allows the node to take of clients that bring no session.
	limit               shard.Limit
	Messages            float64
	Handshakes, Refused float64
	// said is the last heartbeat of a node that is silent.
	said                     load.Heartbeat
	silentSince, silentUntil int

	// share is the part of all clients whose shards it owns. at is a shard's clients as of the last reckoning: now they are
	// at*keep + weight*add.
	share, keep, add float64
	strands          []strand
	// shards are what it says of them; good until it speaks again.
	shards []load.Shard
	taking float64
}

// strand are clients of a shard on a node that owns it no more.
type strand struct {
	shard int
	// count is as of the last reckoning: now they are count*keep.
	count float64
	// since is when the shard got its new owner.
	since int
}

// heavies are clients on a node that send and receive much more than others.
type heavies struct {
	clients, rate float64
}

// Clients are all that are connected to the node.
func (p *Pod) Clients() float64 { return p.home + p.strand }

// Heard says that the node speaks.
func (p *Pod) Heard(now int) bool { return now >= p.Up }

// takes says that a sticky fleet sends newcomers to the node.
func (p *Pod) takes() bool { return p.State == fleet.Serving && !p.Deleted }

// capacity is how much of a usual node's work it gets done.
func (p *Pod) capacity() float64 { return p.speed * (1 - p.taken) }

// load is the CPU that its clients want, without handshakes.
func (p *Pod) load(w *Physics) float64 {
	return (w.CPUBase + w.CPUClient*p.Clients() + w.CPUMessage*p.Messages) / p.capacity()
}

// room is how many handshakes the node takes in this second.
func (p *Pod) room(w *Physics) float64 {
	if p.backlog > 0 || p.Memory >= w.FullMemory {
		return 0
	}
	spare := (1 - p.load(w)) * p.capacity() / w.CPUHandshake
	return max(0, min(spare, w.MostHandshakes, w.MostClients-p.Clients()))
}

// strangers is how many newcomers the node takes in this second, of so many that it has room for.
func (p *Pod) strangers(room float64) float64 {
	if p.limit.Sessions > 0 {
		room = min(room, float64(p.limit.Sessions)-p.Clients())
	}
	if p.limit.Handshakes > 0 {
		room = min(room, float64(p.limit.Handshakes))
	}
	return max(0, room)
}

// leave takes away the part of its clients that go in a second, and returns how many sessions of them ended and begin anew.
func (p *Pod) leave(stay, end float64) (ended float64) {
	p.home *= stay
	p.strand *= stay
	ended = end * p.Clients()
	kept := stay * (1 - end)
	p.home *= 1 - end
	p.strand *= 1 - end
	p.keep *= kept
	p.add *= kept
	p.waiting *= stay
	p.returning *= stay
	return ended
}

// strain is what a second does to the node.
func (p *Pod) strain(w *Physics, rate, chance float64) {
	usual := rate * w.Rate * (1 + p.uneven)
	p.Messages = max(0, usual*(p.Clients()+p.heavy.clients*(p.heavy.rate-1)))
	p.Messages = max(0, p.Messages+chance*math.Sqrt(p.Messages))
	work := p.load(w) + (w.CPUHandshake*p.Handshakes+w.CPURefused*p.Refused)/p.capacity()
	total := work + p.backlog
	p.backlog = min(max(0, total-1), mostBacklog)
	p.CPU = min(1, total)
	p.Memory = min(1, w.MemoryBase+w.MemoryClient*p.Clients()+w.MemoryMessage*p.Messages)
	p.P95 = latency(p.CPU, p.backlog)
	p.use = drain.Follow(p.use, max(p.CPU, p.Memory), time.Second)
}

func podName(number int) fleet.NodeID { return fleet.NodeID(fmt.Sprintf("node-%07d", number)) }
