package drain

import (
	"math"
	"time"
)

// Leisure says how fast clients follow their shard to its new owner while their node goes on serving. Every session ends by
// itself one day, and who comes anew goes to the owner: so a cool node lets time do the work, a warm one sends away a few, and
// a hot one goes as fast as the pace allows. The zero value has no leisure.
type Leisure struct {
	// Calm is the use (the fuller of CPU and memory, as a fraction) below which nobody needs to go, Hot that from which on the
	// pace alone counts.
	Calm, Hot float64
	// Spread is the time in which a node half way between the two sends most of them away.
	Spread time.Duration
	// Longest is how long a client may stay with a node that is calm: two nodes read its shard meanwhile. Zero is no leisure.
	Longest time.Duration
}

// Leisurely is the leisure of a fleet whose clients may stay so long; zero is none.
func Leisurely(longest time.Duration) Leisure {
	return Leisure{Calm: 0.81, Hot: 0.87, Spread: 4 * time.Minute, Longest: longest}
}

// LongestStay is the usual longest stay.
const LongestStay = time.Hour

// lastOnes is how many clients a second at least go that have stayed for too long.
const lastOnes = 1.0

// Rate is how many clients a second should go at most from a node with such a use, of so many that are to go one day, late of
// which have stayed for the longest time: 0 is nobody, infinity what the pace allows. A use that is no number is hot.
func (l Leisure) Rate(use, clients, late float64) float64 {
	if l.Longest <= 0 || !(use < l.Hot) {
		return math.Inf(1)
	}
	rate := 0.0
	if late > 0 {
		rate = max(lastOnes, late/l.Spread.Seconds())
	}
	if warm := (use - l.Calm) / (l.Hot - l.Calm); warm > 0 {
		rate = max(rate, warm/(1-warm)*clients/l.Spread.Seconds())
	}
	return rate
}

// heatMemory is how slowly the use that leisure goes by follows readings: single seconds are noise.
const heatMemory = 8 * time.Second

// Follow is the use to go by after a new reading, so long after the last one.
func Follow(use, reading float64, since time.Duration) float64 {
	return use + (reading-use)*-math.Expm1(-since.Seconds()/heatMemory.Seconds())
}
