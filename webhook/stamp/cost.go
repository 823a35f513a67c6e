package stamp

import "time"

// Every cost that is written here lies in [Lowest, Above): lower than what a user would write, so that a stamped pod leaves
// before every other that serves, and recognisable, so that what lies elsewhere is the user's and stays. A cost says all
// that another replica of the webhook must know of it, so that replicas share no memory: which scale-in it was for, when,
// and the victim's place in it. From the highest bit: place, time, target.
const (
	Lowest int32 = -2_000_000_000
	Above  int32 = Lowest + 1<<(placeBits+tickBits+targetBits)

	placeBits  = 4
	tickBits   = 19
	targetBits = 6

	// tick is the unit of time in a cost, and wrap, seven hours, is after how long the time in one begins anew: a cost that
	// lies on a pod for longer than that may be read as younger than it is, so that wrap is far from every age that counts.
	tick = 50 * time.Millisecond
	wrap = ticks * tick

	// future is how far another replica's clock may be ahead.
	future = time.Minute

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
	// Rounded up, so that no cost is read as older than it is: a scale-in would be held for too short.
	when := int((sinceWrap(at) + tick - 1) / tick % ticks)
	return Lowest + int32((place<<tickBits|when)<<targetBits|target%targets)
}

// decode reads how long before now a cost of ours was written, at most a tick too short, and the target it was for, modulo
// targets. The age is negative when another replica's clock is ahead.
func decode(cost int32, now time.Time) (age time.Duration, target int) {
	bits := int(cost - Lowest)
	age = sinceWrap(now) - time.Duration(bits>>targetBits%ticks)*tick
	switch {
	case age < -future:
		age += wrap
	case age >= wrap-future:
		age -= wrap
	}
	return age, bits % targets
}

// sinceWrap is the part of a time that a cost can say.
func sinceWrap(at time.Time) time.Duration { return time.Duration(at.UnixNano() % int64(wrap)) }
