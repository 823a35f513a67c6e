package socket

import (
	"sync"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/record"
	"github.com/tidegate/tidegate/internal/shard"
)

// residents are the sessions that live on this node. One client may have two for a moment: the newer one started,
// the older one is not closed yet. It is safe for concurrent use.
type residents struct {
	mu       sync.RWMutex
	byShard  map[shard.ID]map[*resident]struct{}
	byClient map[string][]*resident
	count    int
}

func newResidents() *residents {
	return &residents{byShard: map[shard.ID]map[*resident]struct{}{}, byClient: map[string][]*resident{}}
}

func (rs *residents) add(r *resident) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	of := rs.byShard[r.shard]
	if of == nil {
		of = map[*resident]struct{}{}
		rs.byShard[r.shard] = of
	}
	of[r] = struct{}{}
	rs.byClient[r.client] = append(rs.byClient[r.client], r)
	rs.count++
}

// remove takes a session out and reports whether it was the last of its shard.
func (rs *residents) remove(r *resident) (last bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	of := rs.byShard[r.shard]
	if _, found := of[r]; !found {
		return false
	}
	delete(of, r)
	rs.count--
	if len(of) == 0 {
		delete(rs.byShard, r.shard)
	}
	var rest []*resident
	for _, other := range rs.byClient[r.client] {
		if other != r {
			rest = append(rest, other)
		}
	}
	if rest == nil {
		delete(rs.byClient, r.client)
	} else {
		rs.byClient[r.client] = rest
	}
	return len(of) == 0
}

// of lists the sessions of one client.
func (rs *residents) of(client string) []*resident {
	rs.mu.RLock()
	defer rs.mu.RUnlock()
	return append([]*resident(nil), rs.byClient[client]...)
}

func (rs *residents) has(client string) bool {
	rs.mu.RLock()
	defer rs.mu.RUnlock()
	return len(rs.byClient[client]) > 0
}

func (rs *residents) total() int {
	rs.mu.RLock()
	defer rs.mu.RUnlock()
	return rs.count
}

// shards lists the shards that have sessions here and how many.
func (rs *residents) shards() map[shard.ID]int {
	rs.mu.RLock()
	defer rs.mu.RUnlock()
	counts := make(map[shard.ID]int, len(rs.byShard))
	for id, of := range rs.byShard {
		counts[id] = len(of)
	}
	return counts
}

// each calls do for every session; do must not call the registry.
func (rs *residents) each(do func(*resident)) {
	rs.mu.RLock()
	defer rs.mu.RUnlock()
	for _, of := range rs.byShard {
		for r := range of {
			do(r)
		}
	}
}

// start is one session record as the log holds it.
type start struct {
	epoch   uint64
	session string
	node    fleet.NodeID
	offset  int64
	// readAt is when this node read it.
	readAt time.Time
}

// older reports whether a session that this node holds is older than one whose start stands in the log. Epochs
// decide; equal ones (two starts that both could not ask Redis, on two nodes or on one) are decided by the log, which
// everybody reads alike. own is the session's own start, with offset -1 as long as it is not known where it stands.
func older(own, other start) bool {
	if other.epoch != own.epoch {
		return other.epoch > own.epoch
	}
	return own.offset >= 0 && other.offset > own.offset
}

// starts remembers the newest start of each client in the shards that this node reads, for as long as the log may
// tell of it. It is safe for concurrent use.
type starts struct {
	mu      sync.Mutex
	byShard map[shard.ID]map[string]start
}

func newStarts() *starts { return &starts{byShard: map[shard.ID]map[string]start{}} }

// note keeps the start when it is newer than what is known.
func (s *starts) note(id shard.ID, r record.Session, offset int64, now time.Time) start {
	read := start{epoch: r.Epoch, session: r.Session, node: r.Node, offset: offset, readAt: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.byShard[id]
	if of == nil {
		of = map[string]start{}
		s.byShard[id] = of
	}
	// A shard that is read again tells its starts again; the last of them still is the newest.
	if known, found := of[r.Client]; !found || read.epoch > known.epoch || read.epoch == known.epoch && offset >= known.offset {
		of[r.Client] = read
	}
	return read
}

func (s *starts) newest(id shard.ID, client string) start {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, found := s.byShard[id][client]; found {
		return known
	}
	return start{offset: -1}
}

// keep forgets the shards that are not read any more, and what was read before a time.
func (s *starts) keep(read map[shard.ID]struct{}, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, of := range s.byShard {
		if _, found := read[id]; !found {
			delete(s.byShard, id)
			continue
		}
		for client, known := range of {
			if known.readAt.Before(since) {
				delete(of, client)
			}
		}
	}
}
