package outbox

import (
	"time"

	"github.com/tidegate/tidegate/internal/shard"
)

// limits bound what waits.
type limits struct {
	pair     int
	messages int
	bytes    int
	flying   int
	timeout  time.Duration
}

const (
	// holdFor is how long a pair waits for its failed message: far longer than anything its sender had on the way
	// can take to arrive, and short enough for a sender that gave the message up.
	holdFor = 30 * time.Second
	// A shard whose write failed is probed with one message at a time, after a growing pause.
	probeFirst = 50 * time.Millisecond
	probeLast  = 500 * time.Millisecond
)

// schedule decides what is written next. It is a value without I/O and without a clock; it is not safe for
// concurrent use.
type schedule struct {
	limits limits
	pairs  map[pairKey]*pair
	lanes  map[shard.ID]*lane
	// ready holds each lane that has something waiting, once, in turn.
	ready queue[*lane]
	// ages holds every entry by deadline, holds every held pair by the end of its hold.
	ages     queue[*entry]
	holds    queue[hold]
	messages int
	bytes    int
	flying   int
}

func newSchedule(l limits) *schedule {
	return &schedule{limits: l, pairs: make(map[pairKey]*pair), lanes: make(map[shard.ID]*lane)}
}

// push takes a message or says why not; a refused message holds its pair.
func (s *schedule) push(e *entry, now time.Time) error {
	var p *pair
	if e.message.ordered() {
		p = s.pair(e.message.Sender, e.message.Shard)
		if p.blocks(e.message.ID, now) {
			return ErrHeld
		}
	}
	full := s.messages >= s.limits.messages || s.bytes+e.message.size() > s.limits.bytes
	if full || p != nil && p.waiting.len() >= s.limits.pair {
		if p != nil {
			s.hold(p, e.message.ID, now)
		}
		return ErrFull
	}
	e.deadline = now.Add(s.limits.timeout)
	s.messages++
	s.bytes += e.message.size()
	s.ages.push(e)
	if p == nil {
		s.wait(e)
		return nil
	}
	e.pair = p
	p.waiting.push(e)
	if p.waiting.len() == 1 {
		s.wait(e)
	}
	return nil
}

// refuse holds a pair for a message that the caller refused before push.
func (s *schedule) refuse(sender string, id shard.ID, message string, now time.Time) {
	if p := s.pair(sender, id); !p.blocks(message, now) {
		s.hold(p, message, now)
	}
}

// next takes a message for the producer. With nothing to take it says how long until that may change by itself;
// zero is never.
func (s *schedule) next(now time.Time) (*entry, time.Duration) {
	var wait time.Duration
	for range s.ready.len() {
		l := s.ready.pop()
		if l.waiting.len() == 0 {
			l.listed = false // what waited here missed its deadline
			continue
		}
		pause, open := l.open(now, s.limits.flying)
		if !open {
			s.ready.push(l)
			if pause > 0 && (wait == 0 || pause < wait) {
				wait = pause
			}
			continue
		}
		e := l.waiting.pop()
		e.flying = true
		l.flying++
		s.flying++
		if l.waiting.len() > 0 {
			s.ready.push(l)
		} else {
			l.listed = false
		}
		return e, 0
	}
	return nil, wait
}

// resolve takes the producer's answer for a message that next gave out.
func (s *schedule) resolve(e *entry, receipt Receipt, err error, now time.Time) []outcome {
	l := s.lanes[e.message.Shard]
	l.flying--
	s.flying--
	e.flying = false
	failedBefore := e.told
	outcomes := e.tell(nil, receipt, err)
	if err == nil {
		l.pause = 0
	} else {
		l.pause = min(max(2*l.pause, probeFirst), probeLast)
		l.probeAt = now.Add(l.pause)
	}
	s.forget(e)
	p := e.pair
	if p == nil {
		return outcomes
	}
	p.waiting.pop()
	// A message that missed its deadline has failed its followers already; what waits now came after it was sent again.
	if err != nil && !failedBefore {
		outcomes = s.fail(p, e.message.ID, outcomes, err, now)
	}
	if p.waiting.len() > 0 {
		s.wait(p.waiting.first())
	}
	s.drop(p)
	return outcomes
}

// expire fails what is past its deadline, each with everything behind it, and ends old holds.
func (s *schedule) expire(now time.Time) []outcome {
	var outcomes []outcome
	for s.ages.len() > 0 && (s.ages.first().told || !s.ages.first().deadline.After(now)) {
		e := s.ages.pop()
		if e.told {
			continue
		}
		outcomes = s.overdue(e, outcomes, now)
	}
	for s.holds.len() > 0 && !s.holds.first().until.After(now) {
		if h := s.holds.pop(); h.pair.held != "" && !h.pair.heldUntil.After(now) {
			h.pair.held = ""
			s.drop(h.pair)
		}
	}
	return outcomes
}

func (s *schedule) overdue(e *entry, outcomes []outcome, now time.Time) []outcome {
	if p := e.pair; p != nil {
		outcomes = s.fail(p, e.message.ID, outcomes, ErrDeadline, now)
		s.drop(p)
		return outcomes
	}
	outcomes = e.tell(outcomes, Receipt{}, ErrDeadline)
	if !e.flying {
		s.lanes[e.message.Shard].waiting.remove(e)
		s.forget(e)
	}
	return outcomes
}

// fail ends everything of the pair, in order, and holds the pair for the message that failed first. What the producer
// has cannot be called back: it is told, and stays first until the producer answers.
func (s *schedule) fail(p *pair, first string, outcomes []outcome, err error, now time.Time) []outcome {
	var flying queue[*entry]
	for leads := true; p.waiting.len() > 0; leads = false {
		e := p.waiting.pop()
		outcomes = e.tell(outcomes, Receipt{}, err)
		if e.flying {
			flying.push(e)
			continue
		}
		if leads {
			s.lanes[e.message.Shard].waiting.remove(e)
		}
		s.forget(e)
	}
	p.waiting = flying
	s.hold(p, first, now)
	return outcomes
}

// close fails everything that is not with the producer.
func (s *schedule) close() []outcome {
	var outcomes []outcome
	for s.ages.len() > 0 {
		outcomes = s.ages.pop().tell(outcomes, Receipt{}, ErrClosed)
	}
	return outcomes
}

func (s *schedule) wait(e *entry) {
	l := s.lanes[e.message.Shard]
	if l == nil {
		l = &lane{}
		s.lanes[e.message.Shard] = l
	}
	l.waiting.push(e)
	if !l.listed {
		l.listed = true
		s.ready.push(l)
	}
}

func (s *schedule) forget(e *entry) {
	s.messages--
	s.bytes -= e.message.size()
}

func (s *schedule) pair(sender string, id shard.ID) *pair {
	key := pairKey{sender: sender, shard: id}
	p := s.pairs[key]
	if p == nil {
		p = &pair{key: key}
		s.pairs[key] = p
	}
	return p
}

// drop forgets a pair that holds nothing.
func (s *schedule) drop(p *pair) {
	if p.waiting.len() == 0 && p.held == "" {
		delete(s.pairs, p.key)
	}
}

func (s *schedule) hold(p *pair, message string, now time.Time) {
	p.held, p.heldUntil = message, now.Add(holdFor)
	s.holds.push(hold{pair: p, until: p.heldUntil})
}
