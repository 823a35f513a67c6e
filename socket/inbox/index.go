package inbox

import (
	"bytes"
	"hash/maphash"
	"sort"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/internal/record"
)

// budget is what the indexes of one node may hold together. It is safe for concurrent use.
type budget struct {
	maxBytes, maxItems int64
	bytes, items       atomic.Int64
}

// index remembers one shard's messages inside the resume window. It is a value without I/O and without a clock, and
// is not safe for concurrent use.
//
// Offsets below start are outside the window. From floor on, the index knows every message and drops repeats; between
// start and floor, and where a body was dropped for want of memory, only the log knows the message.
type index struct {
	budget *budget
	seed   maphash.Seed
	start  int64
	floor  int64
	// next is the offset that is read next.
	next  int64
	items ring
	// bodies is the place of the oldest item that may still have its body.
	bodies     uint64
	recipients map[string]*recipient
	seen       map[sight]struct{}
	repeats    uint64
}

// recipient chains the items of one client through the ring, oldest first; first is meaningless when count is 0.
type recipient struct {
	name        string
	first, last uint64
	count       int
}

// sight is a message as duplicates are recognised: by recipient, and a seeded hash of sender and id.
type sight struct {
	to   *recipient
	hash uint64
}

// item is one message in the ring.
type item struct {
	offset int64
	// at is the broker's time in milliseconds.
	at   int64
	to   *recipient
	hash uint64
	// follower is the place of the recipient's next item; meaningless for its last.
	follower uint64
	body     *body
}

type body struct {
	from, id string
	payload  []byte
}

// itemBytes is roughly what a body costs beside its texts.
const itemBytes = 96

func (b *body) size() int64 { return int64(itemBytes + len(b.from) + len(b.id) + len(b.payload)) }

func (b *body) message(offset int64, at time.Time) Message {
	return Message{Offset: offset, From: b.from, ID: b.id, Payload: b.payload, At: at}
}

// newIndex begins at an offset, which is also the window's start.
func newIndex(b *budget, seed maphash.Seed, start int64) *index {
	return &index{
		budget: b, seed: seed, start: start, floor: start, next: start,
		recipients: make(map[string]*recipient), seen: make(map[sight]struct{}),
	}
}

// skip passes over an offset that holds no message.
func (x *index) skip(offset int64) { x.next = max(x.next, offset+1) }

// append takes the message at the next offset and says whether it is to be delivered: a repeat is not. The payload is
// copied.
func (x *index) append(offset int64, at time.Time, m record.Message) (Message, bool) {
	if offset < x.next {
		return Message{}, false
	}
	x.next = offset + 1
	to := x.recipients[m.To]
	if to == nil {
		to = &recipient{name: m.To}
		x.recipients[m.To] = to
	}
	what := sight{to: to, hash: x.hash(m.From, m.ID)}
	if _, repeated := x.seen[what]; repeated {
		x.repeats++
		return Message{}, false
	}
	x.seen[what] = struct{}{}
	kept := &body{from: m.From, id: m.ID, payload: bytes.Clone(m.Payload)}
	place := x.items.push(item{offset: offset, at: at.UnixMilli(), to: to, hash: what.hash, body: kept})
	if to.count == 0 {
		to.first = place
	} else {
		x.items.at(to.last).follower = place
	}
	to.last = place
	to.count++
	x.budget.items.Add(1)
	x.budget.bytes.Add(kept.size())
	x.evict()
	return kept.message(offset, at), true
}

func (x *index) hash(from, id string) uint64 {
	var h maphash.Hash
	h.SetSeed(x.seed)
	_, _ = h.WriteString(from) // a hash never fails
	_ = h.WriteByte(0)
	_, _ = h.WriteString(id)
	return h.Sum64()
}

// evict gives up what the node has no room for: first bodies, which the log still has, then whole items, and with
// them the detection of repeats, never a delivery.
func (x *index) evict() {
	for x.budget.bytes.Load() > x.budget.maxBytes && x.bodies < x.items.end() {
		x.bodies = max(x.bodies, x.items.begin())
		x.dropBody(x.items.at(x.bodies))
		x.bodies++
	}
	for x.budget.items.Load() > x.budget.maxItems && x.items.len() > 0 {
		x.floor = x.pop().offset + 1
	}
}

// trim forgets what is older than the window.
func (x *index) trim(before time.Time) {
	for x.items.len() > 0 && x.items.at(x.items.begin()).at < before.UnixMilli() {
		x.start = max(x.start, x.pop().offset+1)
	}
	x.floor = max(x.floor, x.start)
}

// raise says that the log holds nothing below an offset any more.
func (x *index) raise(start int64) {
	for x.items.len() > 0 && x.items.at(x.items.begin()).offset < start {
		x.pop()
	}
	x.start = max(x.start, start)
	x.floor = max(x.floor, x.start)
	x.next = max(x.next, x.start)
}

// release returns what the index holds to the node.
func (x *index) release() {
	for x.items.len() > 0 {
		x.pop()
	}
}

func (x *index) pop() item {
	oldest := x.items.at(x.items.begin())
	x.dropBody(oldest)
	to := oldest.to
	to.first = oldest.follower
	to.count--
	delete(x.seen, sight{to: to, hash: oldest.hash})
	if to.count == 0 {
		delete(x.recipients, to.name)
	}
	x.budget.items.Add(-1)
	return x.items.pop()
}

func (x *index) dropBody(i *item) {
	if i.body != nil {
		x.budget.bytes.Add(-i.body.size())
		i.body = nil
	}
}

// covers says where a client that has received everything up to from begins, as far as the index can tell; an offset
// at or above the end may be a newer one than this node has read yet.
func (x *index) covers(from int64) bool { return from >= 0 && from+1 >= x.start && from < x.next }

// page is a part of what a client has not received yet.
type page struct {
	messages []Message
	// upTo is the offset up to which the messages are complete.
	upTo int64
	// fromLog says that what follows upTo must be read from the log.
	fromLog bool
}

// after returns at most most messages of a client above an offset.
func (x *index) after(client string, from int64, most int) page {
	if from+1 < x.floor {
		return page{upTo: from, fromLog: true}
	}
	p := page{upTo: x.next - 1}
	to := x.recipients[client]
	if to == nil {
		return p
	}
	for place, left := to.first, to.count; left > 0; left-- {
		it := x.items.at(place)
		place = it.follower
		if it.offset <= from {
			continue
		}
		if it.body == nil || len(p.messages) == most {
			p.upTo, p.fromLog = it.offset-1, it.body == nil
			return p
		}
		p.messages = append(p.messages, it.body.message(it.offset, time.UnixMilli(it.at)))
	}
	return p
}

// delivers says whether the message that the log holds at an offset is one to deliver: where the index knows, a
// repeat is not.
func (x *index) delivers(offset int64) bool {
	if offset < x.floor {
		return true
	}
	places := sort.Search(x.items.len(), func(i int) bool { return x.items.at(x.items.begin()+uint64(i)).offset >= offset })
	return places < x.items.len() && x.items.at(x.items.begin()+uint64(places)).offset == offset
}
