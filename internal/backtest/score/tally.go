package score

import "time"

// The thresholds of a bad second on a node.
const (
	HotCPU    = 0.90
	SlowP95   = 500 * time.Millisecond
	FullMem   = 0.92
	secondDay = 86400.0
)

// Node is what a second on one node was like.
type Node struct {
	Clients     float64
	CPU, Memory float64
	P95         time.Duration
}

// Bad says whether the second was bad for the clients on the node.
func (n Node) Bad() bool { return n.CPU > HotCPU || n.P95 > SlowP95 || n.Memory > FullMem }

// Tally adds a run up, second by second. The zero value has seen nothing.
type Tally struct {
	s       Score
	waiting float64
	hot     float64
	slow    float64
	full    float64
	asked   int
	rising  int
}

// Clients adds a second of a node.
func (t *Tally) Clients(n Node) {
	t.s.ClientSeconds += n.Clients
	switch {
	case n.CPU > HotCPU:
		t.hot += n.Clients
	case n.P95 > SlowP95:
		t.slow += n.Clients
	case n.Memory > FullMem:
		t.full += n.Clients
	}
}

// Second adds what a second was like for the fleet: clients that wait, pods that exist, clients that were moved and cut
// in it, and the count that was asked for.
func (t *Tally) Second(waiting float64, pods int, moved, cut float64, asked int) {
	t.s.Seconds++
	t.s.ClientSeconds += waiting
	t.waiting += waiting
	t.s.PodSeconds += float64(pods)
	t.s.Moved += moved
	t.s.Cut += cut
	t.turn(asked)
}

// turn counts a change of direction of the count that is asked for.
func (t *Tally) turn(asked int) {
	way := 0
	switch {
	case t.asked == 0:
	case asked > t.asked:
		way = 1
	case asked < t.asked:
		way = -1
	}
	if way != 0 {
		if t.rising != 0 && way != t.rising {
			t.s.Reversals++
		}
		t.rising = way
	}
	t.asked = asked
	t.s.PeakTarget = max(t.s.PeakTarget, asked)
}

// BadSeconds are the client-seconds that fared badly until now, and all of them.
func (t *Tally) BadSeconds() (bad, all float64) {
	return t.waiting + t.hot + t.slow + t.full, t.s.ClientSeconds
}

// Moved are the clients moved until now, and those of them that were cut.
func (t *Tally) Moved() (moved, cut float64) { return t.s.Moved, t.s.Cut }

// Score is the tally against an oracle's pod-seconds and its largest count.
func (t *Tally) Score(oraclePodSeconds float64, peakNeed int) Score {
	s := t.s
	s.Waiting, s.Hot = ratio(t.waiting, s.ClientSeconds), ratio(t.hot, s.ClientSeconds)
	s.Slow, s.Full = ratio(t.slow, s.ClientSeconds), ratio(t.full, s.ClientSeconds)
	s.Bad = s.Waiting + s.Hot + s.Slow + s.Full
	s.OraclePodSeconds, s.PeakNeed = oraclePodSeconds, peakNeed
	s.Pods = ratio(s.PodSeconds, oraclePodSeconds)
	s.ReversalsPerDay = ratio(float64(s.Reversals)*secondDay, float64(s.Seconds))
	return s
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
