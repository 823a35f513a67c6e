package outbox

import "time"

// holdFor is how long a pair waits for its failed message: far longer than anything its sender had on the way can take
// to arrive, and short enough for a sender that gave the message up and all others with it.
const holdFor = 30 * time.Second

// hold is a pair in the queue of holds.
type hold struct {
	pair  *pair
	until time.Time
}

// hold makes the pair wait for a message that was refused. Nothing later has come yet.
func (s *schedule) hold(p *pair, message string, now time.Time) {
	p.held, p.heldUntil, p.seen = message, now.Add(holdFor), nil
	if !p.listed {
		p.listed = true
		s.holds.push(hold{pair: p, until: p.heldUntil})
	}
}

// holdBefore makes the pair wait for a message that failed after others had come: behind are those that failed with it,
// in order; then came what an earlier hold waits for and what that one turned away. All of them count as turned away
// by the new hold, as if it had begun with the failed message: what came again in between ended it and failed too.
func (s *schedule) holdBefore(p *pair, failed string, behind []string, now time.Time) {
	if p.held != "" {
		behind = append(behind, p.held)
	}
	behind = append(behind, p.seen...)
	s.hold(p, failed, now)
	for _, each := range behind {
		if !p.blocks(each, now) {
			s.hold(p, each, now)
		}
	}
}

// release ends the pair's hold, or lists it again when the hold was renewed. It may then stand behind one that ends
// later; that keeps the pair in memory a little longer and delays no message, because blocks knows the time.
func (s *schedule) release(p *pair, now time.Time) {
	if p.held != "" && p.heldUntil.After(now) {
		s.holds.push(hold{pair: p, until: p.heldUntil})
		return
	}
	p.listed, p.held, p.seen = false, "", nil
	s.drop(p)
}

// drop forgets a pair that holds nothing. One that is listed stays until its turn, so that it is never listed twice.
func (s *schedule) drop(p *pair) {
	if p.waiting.len() == 0 && !p.listed {
		delete(s.pairs, p.key)
	}
}
