package stamp

import "time"

// Every cost that is written here lies in [Lowest, Above): lower than what a user would write, so that a stamped pod leaves
// before every other that serves, and recognisable, so that what lies elsewhere is the user's and stays. A cost says all
// that another replica of the webhook must know of it, so that replicas share no memory: which scale-in it was for, when,
// and the victim's place in it. From the highest bit: place, time, target.
const (
	Lowest int32 = -2_000_000_000
	Above  int32 = Lowest + 1<<(placeBits+tickBits+targetBits)

	placeBits  = 7
	tickBits   = 16
	targetBits = 6

	// tick is the unit of time in a cost. It wraps after 27 minutes; what is older than the window is old all the same.
	tick = 25 * time.Millisecond

	// lastPlace is shared by all further victims: they leave together, so that their order says nothing.
	lastPlace = 1<<placeBits - 1
	ticks     = 1 << tickBits
	targets   = 1 << targetBits
)

// Ours reports whether the cost was written by a webhook of ours.
func Ours(cost int32) bool { return cost >= Lowest && cost < Above }

// encode writes the cost of the victim at a place, from 0, of a scale-in to target replicas.
func encode(place int, at time.Time, target int) int32 {
	place = min(place, lastPlace)
	when := int(at.UnixNano() / int64(tick) % ticks)
	return Lowest + int32((place<<tickBits|when)<<targetBits|target%targets)
}

// decode reads how long before now a cost of ours was written and the target it was for, modulo targets. The age is
// negative when another replica's clock is ahead.
func decode(cost int32, now time.Time) (age time.Duration, target int) {
	bits := int(cost - Lowest)
	target = bits % targets
	when := bits >> targetBits % ticks
	passed := (int(now.UnixNano()/int64(tick)%ticks) - when + ticks) % ticks
	if passed >= ticks/2 {
		passed -= ticks
	}
	return time.Duration(passed) * tick, target
}
