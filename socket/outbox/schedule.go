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
	// ages holds every entry by deadline; holds has each pair that was held, once, roughly by the end of its hold.
	ages     queue[*entry]
	holds    queue[hold]
	messages int
	bytes    int
	flying   int
	// closed hands out nothing more.
	closed bool
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
	if s.closed {
		return nil, 0
	}
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
		s.release(s.holds.pop().pair, now)
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
	var behind []string
	for leads := true; p.waiting.len() > 0; leads = false {
		e := p.waiting.pop()
		if !e.told {
			behind = append(behind, e.message.ID)
		}
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
	s.holdBefore(p, first, behind, now)
	return outcomes
}

// close fails everything that is not with the producer, and hands it nothing more.
func (s *schedule) close() []outcome {
	s.closed = true
	var outcomes []outcome
	var flying queue[*entry]
	for s.ages.len() > 0 {
		e := s.ages.pop()
		if e.flying {
			flying.push(e)
			continue
		}
		outcomes = e.tell(outcomes, Receipt{}, ErrClosed)
	}
	s.ages = flying
	return outcomes
}

// abandon fails everything that is left once no producer answers any more.
func (s *schedule) abandon() []outcome {
	outcomes := s.close()
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

// forget takes an entry, which has been told, out of what is counted. It may stay behind an older one among the ages,
// so it keeps nothing large.
func (s *schedule) forget(e *entry) {
	s.messages--
	s.bytes -= e.message.size()
	e.message.Value, e.done = nil, nil
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
