// Package trace holds what the clients of a simulated fleet want, second by second: how many want to be connected, how
// much they send, and what befalls them.
package trace

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// DefaultPeak is how many clients the synthetic traces have at their peak.
const DefaultPeak = 120_000

// Kind tells how a trace is judged.
type Kind uint8

// The kinds of traces.
const (
	// Regular traces are what a fleet sees all year; a good policy leaves nothing bad on them.
	Regular Kind = iota + 1
	// Shock traces ask for more than pods can start in time; nobody is perfect on them.
	Shock
)

// String is the kind's name in every table.
func (k Kind) String() string {
	switch k {
	case Regular:
		return "regular"
	case Shock:
		return "shock"
	default:
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
}

// Trace is what happens to a fleet from outside. A Trace is never changed once it was made.
type Trace struct {
	Name string
	Kind Kind
	// Notes say in words what is doubtful of a trace that was read from a file.
	Notes []string
	// Step is the time between two values of Clients and Rate, whole seconds; between them both are interpolated.
	Step time.Duration
	// Clients want to be connected.
	Clients []float64
	// Rate is how many messages a second a client sends and receives, relative to the world's usual; empty where it is usual.
	Rate []float64
	// Jitter is how far the rate wanders about its course, as a standard deviation relative to it.
	Jitter float64
	// Outages are times in which clients cannot reach the fleet.
	Outages []Outage
	// Hotspots are clients that cost more than others, on one node.
	Hotspots []Hotspot
	// Neighbours make single nodes slower for a while.
	Neighbours []Neighbour
}

// Outage is a network that fails: a part of the clients is gone at once, and comes back at once.
type Outage struct {
	// From and To are seconds since the trace began.
	From, To int
	// Part of the clients that is gone meanwhile, 0 to 1.
	Part float64
	// Return is in how many seconds all of them try again.
	Return int
}

// gone is the part of the clients that the outage keeps away at a second.
func (o Outage) gone(second int) float64 {
	switch {
	case second < o.From || second >= o.To+o.Return:
		return 0
	case second < o.To:
		return o.Part
	default:
		return o.Part * (1 - float64(second-o.To+1)/float64(o.Return))
	}
}

// Hotspot is a heavy group of recipients that sit on one node, and stay as long as it lasts.
type Hotspot struct {
	From, To int
	// Part of the mean node's clients that are in the group.
	Part float64
	// Rate multiplies their messages a second.
	Rate float64
}

// Neighbour is another tenant of a node's machine that takes a part of its CPU.
type Neighbour struct {
	From, To int
	// Node picks one of the nodes that serve at From, by place.
	Node int
	// Part of the node's CPU that is taken, 0 to 1.
	Part float64
}

// Seconds is how long the trace lasts.
func (t *Trace) Seconds() int {
	return int(time.Duration(len(t.Clients)-1) * t.Step / time.Second)
}

// At is how many clients want to be connected at a second since the trace began, and their rate. What is before the
// beginning and after the end is as it is there.
func (t *Trace) At(second int) (clients, rate float64) {
	clients, rate = between(t.Clients, second, t.Step), 1
	if len(t.Rate) > 0 {
		rate = between(t.Rate, second, t.Step)
	}
	for _, o := range t.Outages {
		clients *= 1 - o.gone(second)
	}
	return clients, rate
}

func between(values []float64, second int, step time.Duration) float64 {
	width := int(step / time.Second)
	i := second / width
	switch {
	case second <= 0:
		return values[0]
	case i >= len(values)-1:
		return values[len(values)-1]
	}
	part := float64(second%width) / float64(width)
	return values[i] + part*(values[i+1]-values[i])
}

// Times is the trace with so many times the clients.
func (t Trace) Times(factor float64) Trace {
	t.Clients = slices.Clone(t.Clients)
	for i := range t.Clients {
		t.Clients[i] *= factor
	}
	return t
}

// Validate names the first thing that makes a trace unusable.
func (t *Trace) Validate() error {
	switch {
	case t.Step < time.Second || t.Step%time.Second != 0:
		return fmt.Errorf("trace %s: step is %s: want whole seconds", t.Name, t.Step)
	case len(t.Clients) < 2:
		return fmt.Errorf("trace %s: has %d values: want two or more", t.Name, len(t.Clients))
	case len(t.Rate) != 0 && len(t.Rate) != len(t.Clients):
		return fmt.Errorf("trace %s: has %d rates for %d values: want as many or none", t.Name, len(t.Rate), len(t.Clients))
	}
	for i, v := range t.Clients {
		if !(v >= 0) || math.IsInf(v, 0) {
			return fmt.Errorf("trace %s: value %d is %v clients: want 0 or more", t.Name, i, v)
		}
	}
	return nil
}
