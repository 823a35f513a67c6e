package outbox

import (
	"slices"
	"time"

	"github.com/tidegate/tidegate/internal/shard"
)

type pairKey struct {
	sender string
	shard  shard.ID
}

// pair is what one sender has under way to one shard.
type pair struct {
	key pairKey
	// waiting holds the pair's messages in order; the first is with its lane or with the producer.
	waiting queue[*entry]
	// held is the message that must come before any other; empty when nothing is held.
	held      string
	heldUntil time.Time
	// seen holds the messages that were turned away or failed because of the held one; all of them came after it.
	seen []string
	// listed says that the schedule's queue of holds has the pair.
	listed bool
}

// lane is what one shard has under way.
type lane struct {
	waiting queue[*entry]
	flying  int
	listed  bool
	// pause is zero while the shard takes writes; else one message at a time probes it, from probeAt on.
	pause   time.Duration
	probeAt time.Time
}

// open says whether the lane may hand out a message, and if not, after which pause it will.
func (l *lane) open(now time.Time, most int) (time.Duration, bool) {
	switch {
	case l.flying >= most:
		return 0, false
	case l.pause == 0:
		return 0, true
	case l.flying > 0:
		return 0, false
	default:
		pause := l.probeAt.Sub(now)
		return pause, pause <= 0
	}
}

// mostSeen bounds the ids that a held pair keeps. Beyond it a hold may last its whole time; the order is safe.
const mostSeen = 256

// blocks says whether the pair waits for another message than this; the awaited one ends the hold.
//
// So does a message that was turned away and comes again while the awaited one did not. A sender sends what was not
// accepted again in order, so the awaited one would have come before the other's second arrival: it was settled
// elsewhere, accepted by another node or given up.
//
// This does not weaken the order for a sender with many messages on the way. It sends m1, m2 and m3 again in this
// order, so m2 and its second arrival cannot both come before m1 comes again. And whatever is older than the message
// that came again is settled, is taken by this pair, or is among seen and would have come again first.
//
// A sender that keeps an order for each recipient only is safe as well, because it hears of the awaited message before
// it hears of those turned away: when one of these comes again, nothing newer for the awaited one's recipient follows
// before the awaited one does.
func (p *pair) blocks(message string, now time.Time) bool {
	if p.held == "" || p.held == message || !now.Before(p.heldUntil) || slices.Contains(p.seen, message) {
		p.held, p.seen = "", nil
		return false
	}
	p.see(message)
	return true
}

// see remembers a message that the hold turned away.
func (p *pair) see(message string) {
	if len(p.seen) < mostSeen {
		p.seen = append(p.seen, message)
	}
}
