package world

import (
	"math"
	"time"

	"github.com/tidegate/tidegate/socket/drain"
)

// Physics are what things cost and how long they take. CPU and memory are fractions of one pod's limits.
type Physics struct {
	// CPUBase and MemoryBase are an empty node's.
	CPUBase, MemoryBase float64
	// CPUClient is what a connected client costs, CPUMessage a message a second, CPUHandshake a handshake a second, and
	// CPURefused one that is turned away.
	CPUClient, CPUMessage, CPUHandshake, CPURefused float64
	// MemoryClient is what a connected client costs, MemoryMessage a message a second.
	MemoryClient, MemoryMessage float64
	// Rate is how many messages a second a client usually sends and receives.
	Rate float64
	// Session is how long a session lasts on the mean; another one takes its place at once.
	Session time.Duration
	// Spread is how much the speed of nodes differs, as a standard deviation.
	Spread float64
	// Unevenness is how far the rate of one node's clients is from that of all, as a standard deviation; it changes slowly.
	Unevenness float64
	// MostClients and MostHandshakes (a second) are a server's own limits, FullMemory where it takes nobody any more.
	MostClients, MostHandshakes, FullMemory float64
	// Retry is when a client that was turned away tries again on the mean; Return one that was cut.
	Retry, Return time.Duration
	// Start is the median of a pod's time from its creation to its first heartbeat, StartSpread the standard deviation of
	// its logarithm; a part SlowStarts takes SlowFactor times as long.
	Start                               time.Duration
	StartSpread, SlowStarts, SlowFactor float64
	// Warm is how long a node warms up a shard.
	Warm time.Duration
	// Pace is how many clients a second leave an old owner at most, and come to a new one by moving.
	Pace float64
	// Leisure is how clients follow their shards from nodes that stay; they move at once without it, as nodes do by default.
	Leisure drain.Leisure
	// DrainLimit is when those that are still on a node which leaves are cut.
	DrainLimit time.Duration
}

// Usual is the world that policies are compared in: a pod carries some 3,800 clients at 0.80 of its CPU.
func Usual() Physics {
	return Physics{
		CPUBase: 0.05, MemoryBase: 0.15,
		CPUClient: 70e-6, CPUMessage: 250e-6, CPUHandshake: 0.002, CPURefused: 0.00003,
		MemoryClient: 120e-6, MemoryMessage: 20e-6,
		Rate:    0.5,
		Session: 30 * time.Minute,
		Spread:  0.04, Unevenness: 0.015,
		MostClients: 10_000, MostHandshakes: 1000, FullMemory: 0.97,
		Retry: 5 * time.Second, Return: 2 * time.Second,
		Start: 22 * time.Second, StartSpread: 0.3, SlowStarts: 0.04, SlowFactor: 2.5,
		Warm: 3 * time.Second, Pace: 100, DrainLimit: 300 * time.Second,
	}
}

// Carries is how many clients a node of usual speed carries at a CPU and at the usual rate.
func (p Physics) Carries(cpu float64) float64 {
	return (cpu - p.CPUBase) / (p.CPUClient + p.Rate*p.CPUMessage)
}

// MeanStart is the mean time from a pod's creation to its first heartbeat.
func (p Physics) MeanStart() time.Duration {
	mean := p.Start.Seconds() * math.Exp(p.StartSpread*p.StartSpread/2) * (1 + p.SlowStarts*(p.SlowFactor-1))
	return time.Duration(mean * float64(time.Second))
}

// The shape of latency: an idle node's p95, and what a busy one adds.
const (
	idleP95   = 10 * time.Millisecond
	queueP95  = 15 * time.Millisecond
	mostQueue = 0.995
	// mostBacklog bounds the work that waits, in seconds: beyond it clients give up and ask again.
	mostBacklog = 20.0
)

// latency is a node's p95 at a CPU with work of some seconds waiting.
func latency(cpu, backlog float64) time.Duration {
	busy := min(cpu, mostQueue)
	return idleP95 + time.Duration(float64(queueP95)*busy/(1-busy)) + time.Duration(backlog*float64(time.Second))
}

// perSecond is the part of a stock that leaves in a second when it stays for so long on the mean.
func perSecond(stay time.Duration) float64 { return -math.Expm1(-1 / stay.Seconds()) }
