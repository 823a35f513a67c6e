package client

import (
	"time"

	"github.com/tidegate/tidegate/internal/protocol"
)

// pending is a message on its way to acceptance.
type pending struct {
	frame protocol.Send
	done  func(error)
}

// outgoing holds what is not accepted yet, a queue a recipient. Only the head of a queue is on its way, so that a retry
// can never overtake, or be overtaken by, a message to the same recipient.
type outgoing struct {
	queues map[string]*queue
	// recipient finds the queue of a message by its id.
	recipient map[string]string
}

type queue struct {
	waiting []*pending
	// retryAt holds the head back after a refusal that time heals.
	retryAt time.Time
}

func newOutgoing() *outgoing {
	return &outgoing{queues: make(map[string]*queue), recipient: make(map[string]string)}
}

// push queues a message and reports whether it is at the head and may leave now. A second message with an id that still
// waits is the same message by the protocol's rules: it is refused here.
func (o *outgoing) push(p *pending) (leave, fresh bool) {
	if _, twice := o.recipient[p.frame.ID]; twice {
		return false, false
	}
	o.recipient[p.frame.ID] = p.frame.To
	q := o.queues[p.frame.To]
	if q == nil {
		q = &queue{}
		o.queues[p.frame.To] = q
	}
	q.waiting = append(q.waiting, p)
	return len(q.waiting) == 1, true
}

// settle takes a message that is accepted, or refused for good, off the head of its queue.
// It returns the message and the one that may leave next. An answer to anything but the head is old news.
func (o *outgoing) settle(id string) (settled, next *pending) {
	to, known := o.recipient[id]
	if !known {
		return nil, nil
	}
	q := o.queues[to]
	if q.waiting[0].frame.ID != id {
		return nil, nil
	}
	settled = q.waiting[0]
	delete(o.recipient, id)
	q.waiting = q.waiting[1:]
	q.retryAt = time.Time{}
	if len(q.waiting) == 0 {
		delete(o.queues, to)
		return settled, nil
	}
	return settled, q.waiting[0]
}

// hold keeps the head of a message's queue back until a time.
func (o *outgoing) hold(id string, until time.Time) {
	if q := o.queues[o.recipient[id]]; q != nil && q.waiting[0].frame.ID == id {
		q.retryAt = until
	}
}

// due returns the heads whose wait is over, and when the next one's is.
func (o *outgoing) due(now time.Time) (leave []*pending, next time.Time) {
	for _, q := range o.queues {
		switch {
		case q.retryAt.IsZero():
		case !now.Before(q.retryAt):
			q.retryAt = time.Time{}
			leave = append(leave, q.waiting[0])
		case next.IsZero() || q.retryAt.Before(next):
			next = q.retryAt
		}
	}
	return leave, next
}

// heads returns everything that a new connection must send again.
func (o *outgoing) heads() []*pending {
	heads := make([]*pending, 0, len(o.queues))
	for _, q := range o.queues {
		q.retryAt = time.Time{}
		heads = append(heads, q.waiting[0])
	}
	return heads
}

// drop fails everything that waits.
func (o *outgoing) drop(err error) {
	for _, q := range o.queues {
		for _, p := range q.waiting {
			p.done(err)
		}
	}
	clear(o.queues)
	clear(o.recipient)
}
