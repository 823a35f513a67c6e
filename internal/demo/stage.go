package demo

import "time"

// stage is one phase of the demo's day: clients and message rate go from where the last phase ended to here.
type stage struct {
	name string
	// share of the whole duration.
	share float64
	// clients as a share of the most; rate as messages a second and client. Both are reached after reach of the phase.
	clients float64
	rate    float64
	reach   float64
}

// day is a day of a chat service in two minutes. The burst is messages, not clients: a fleet that counts
// connections alone would sleep through it.
func day() []stage {
	return []stage{
		{name: "quiet", share: 0.10, clients: 0.15, rate: 1, reach: 0.3},
		{name: "ramp", share: 0.22, clients: 1, rate: 1, reach: 0.9},
		{name: "burst", share: 0.18, clients: 1, rate: 10, reach: 0.15},
		{name: "steady", share: 0.15, clients: 1, rate: 1, reach: 0.1},
		{name: "night", share: 0.35, clients: 0.12, rate: 0.5, reach: 0.35},
	}
}

// moment is what the day asks of the swarm at one time.
type moment struct {
	stage   string
	clients int
	// rate is messages a second and client.
	rate float64
	// done is the share of the day that has passed.
	done float64
}

// momentAt interpolates the day. most is the largest number of clients; past the end the last stage stays.
func momentAt(stages []stage, most int, whole, elapsed time.Duration) moment {
	var from stage
	start := time.Duration(0)
	for i, s := range stages {
		length := time.Duration(float64(whole) * s.share)
		if elapsed < start+length || i == len(stages)-1 {
			progress := 1.0
			if ramp := float64(length) * s.reach; ramp > 0 {
				progress = min(1, float64(elapsed-start)/ramp)
			}
			return moment{
				stage:   s.name,
				clients: max(2, int(float64(most)*between(from.clients, s.clients, progress)+0.5)),
				rate:    between(from.rate, s.rate, progress),
				done:    min(1, float64(elapsed)/float64(whole)),
			}
		}
		start, from = start+length, s
	}
	return moment{}
}

func between(from, to, progress float64) float64 { return from + (to-from)*progress }
