package outbox

import (
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
}

type hold struct {
	pair  *pair
	until time.Time
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

// blocks says whether the pair waits for another message than this; the awaited one ends the hold.
func (p *pair) blocks(message string, now time.Time) bool {
	if p.held != "" && p.held != message && now.Before(p.heldUntil) {
		return true
	}
	p.held = ""
	return false
}
