package inbox

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tidegate/tidegate/internal/record"
	"github.com/tidegate/tidegate/internal/shard"
)

// logReader reads the log below what memory holds.
type logReader interface {
	// readLog returns what one fetch brings from an offset on; errOutOfRange when the log does not hold it.
	readLog(ctx context.Context, id shard.ID, from int64) (fetched, error)
	// oldest is the first offset that the log holds.
	oldest(ctx context.Context, id shard.ID) (int64, error)
}

var errOutOfRange = errors.New("the log does not hold this offset")

// scan is the one reading of the log that all resumes of a shard share. It changes under the shard's lock.
type scan struct {
	waiting []*Subscription
	running bool
}

// target is a subscription as one chunk of the log sees it.
type target struct {
	sub *Subscription
	// room is what the receiver still takes; without room its place stays before the message.
	room int
	full bool
}

// joinScan adds a subscription to the shard's scan, starting one when none runs.
func (r *reader) joinScan(s *Subscription) {
	r.mu.Lock()
	r.scan.waiting = append(r.scan.waiting, s)
	starts := !r.scan.running
	r.scan.running = true
	r.mu.Unlock()
	if starts {
		r.tasks.start(r.scanLog)
	}
}

// scanLog reads on from the subscription that is furthest behind until memory serves all of them.
func (r *reader) scanLog(ctx context.Context) {
	var wait time.Duration
	for {
		targets, from, end := r.planScan()
		if len(targets) == 0 {
			return
		}
		f, err := r.log.readLog(ctx, r.id, from)
		if errors.Is(err, errOutOfRange) {
			err = r.cutScan(ctx)
		}
		moved := err == nil && r.handOut(f, targets, end)
		switch {
		case moved:
			wait = 0
			continue
		case err == nil:
			wait = fullPause
		default:
			wait = backoff(wait)
		}
		if !pause(ctx, wait, nil) {
			return
		}
	}
}

// planScan drops who has ended, sends on who is served by memory, and says where to read: from the offset of who is
// furthest behind up to end, from which on the index has not seen the log yet.
func (r *reader) planScan() (targets map[string][]*target, from, end int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	targets = make(map[string][]*target)
	from = r.index.next
	r.scan.waiting = slices.DeleteFunc(r.scan.waiting, func(s *Subscription) bool {
		if s.ended() || r.stage == stopped {
			return true
		}
		if !r.index.after(s.client, s.at, 1).fromLog {
			r.tasks.start(func(ctx context.Context) { r.pump(ctx, s) })
			return true
		}
		from = min(from, s.at+1)
		targets[s.client] = append(targets[s.client], &target{sub: s, room: s.room(pageSize)})
		return false
	})
	r.scan.running = len(r.scan.waiting) > 0
	return targets, from, r.index.next
}

// handOut gives a chunk of the log to whom it concerns and says whether anybody moved on.
func (r *reader) handOut(f fetched, targets map[string][]*target, end int64) bool {
	for i := range f.entries {
		e := &f.entries[i]
		if e.offset >= end {
			break
		}
		if subs := targets[string(e.key)]; len(subs) > 0 {
			r.handOutEntry(e, f.at, subs)
		}
	}
	moved := false
	upTo := min(f.next, end) - 1
	for _, subs := range targets {
		for _, t := range subs {
			before := t.sub.handed.Load()
			if !t.full {
				t.sub.at = max(t.sub.at, upTo)
			}
			t.sub.handed.Store(t.sub.at)
			moved = moved || t.sub.at > before
		}
	}
	return moved
}

func (r *reader) handOutEntry(e *entry, at time.Time, subs []*target) {
	decoded, err := record.Decode(e.value)
	if err != nil || decoded.Kind != record.KindMessage || !r.delivers(e.offset) {
		return
	}
	m := decoded.Message
	message := Message{Offset: e.offset, From: m.From, ID: m.ID, Payload: slices.Clone(m.Payload), At: e.at, Fetched: at}
	for _, t := range subs {
		if t.full || e.offset <= t.sub.at {
			continue
		}
		if t.room == 0 {
			t.full = true
			continue
		}
		if !t.sub.deliver(message) {
			t.full = true
			continue
		}
		t.room--
		t.sub.at = e.offset
		r.handed.Add(1)
	}
}

func (r *reader) delivers(offset int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.index.delivers(offset)
}

// cutScan ends the subscriptions whose messages the log has lost: their clients come again and are told so.
func (r *reader) cutScan(ctx context.Context) error {
	oldest, err := r.log.oldest(ctx, r.id)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.index.raise(oldest)
	var ended []*Subscription
	for _, s := range r.scan.waiting {
		if s.at+1 < r.index.start && s.end() {
			ended = append(ended, s)
		}
	}
	r.mu.Unlock()
	for _, s := range ended {
		r.forget(s)
	}
	if len(ended) > 0 {
		r.events.ShardStopped(r.id, ended)
	}
	return nil
}
