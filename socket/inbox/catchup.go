package inbox

import (
	"context"
	"time"
)

const (
	// pageSize is how many messages a catch-up takes out of memory at a time.
	pageSize = 128
	// inlinePages is how many of them Begin hands out itself; a longer backlog gets a goroutine.
	inlinePages = 2
	// fullPause is how long a catch-up waits for a receiver without room.
	fullPause = 5 * time.Millisecond
)

// progress is what one step of a catch-up came to.
type progress int

const (
	// done: the subscription is live, or has ended.
	done progress = iota
	more
	noRoom
	needsLog
)

// attach registers a subscription; the caller decides about an offset that this node has not read yet.
func (r *reader) attach(client string, from int64, aheadOfLog bool, to Receiver) (*Subscription, Start, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stage != ready {
		return nil, Start{}, ErrNotReady
	}
	r.trim()
	start := Start{Resumed: true, From: from}
	if !r.index.covers(from) && (from < r.index.next || aheadOfLog) {
		start = Start{From: r.index.start - 1}
	}
	s := &Subscription{shard: r, client: client, receiver: to, from: start.From, at: start.From, gone: make(chan struct{})}
	s.handed.Store(start.From)
	r.subs[client] = append(r.subs[client], s)
	return s, start, nil
}

// beyond says whether an offset is newer than what this node has read.
func (r *reader) beyond(from int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stage == ready && from >= r.index.next
}

// catchUp hands out what the client has missed and makes the subscription live. A short backlog is handed out at
// once, a long one by a goroutine.
func (r *reader) catchUp(s *Subscription) {
	for range inlinePages {
		if r.step(s) == done {
			return
		}
	}
	r.tasks.start(func(ctx context.Context) { r.pump(ctx, s) })
}

// pump steps until the subscription is live, has ended, or needs the log.
func (r *reader) pump(ctx context.Context, s *Subscription) {
	for {
		switch r.step(s) {
		case done:
			return
		case needsLog:
			r.joinScan(s)
			return
		case noRoom:
			if !pause(ctx, fullPause, s.gone) {
				return
			}
		case more:
		}
	}
}

// step hands out one page from memory. When nothing is left it makes the subscription live, under the lock under
// which the reader appends: what is read before is in the page, what is read after is delivered live.
func (r *reader) step(s *Subscription) progress {
	room := s.room(pageSize)
	r.mu.Lock()
	if s.ended() || r.stage == stopped {
		r.mu.Unlock()
		return done
	}
	p := r.index.after(s.client, s.at, max(room, 1))
	if len(p.messages) == 0 {
		if !p.fromLog {
			s.handed.Store(max(s.at, p.upTo))
			s.live.Store(true)
		}
		r.mu.Unlock()
		if p.fromLog {
			return needsLog
		}
		return done
	}
	r.mu.Unlock()
	if room == 0 {
		return noRoom
	}
	at := r.now()
	for _, message := range p.messages {
		message.Fetched = at
		if !s.deliver(message) {
			return done
		}
		r.handed.Add(1)
	}
	s.at = max(s.at, p.upTo)
	s.handed.Store(s.at)
	return more
}
