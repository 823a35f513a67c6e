package inbox

import (
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/record"
)

func roomy() *budget { return &budget{maxBytes: math.MaxInt64, maxItems: math.MaxInt64} }

func at(second int) time.Time { return time.Unix(1_700_000_000+int64(second), 0) }

// write appends a message from s to to, with the second as its time.
func write(x *index, offset int64, second int, to, id string) bool {
	_, fresh := x.append(offset, at(second), record.Message{From: "s", ID: id, To: to, Payload: []byte(id)})
	return fresh
}

func ids(p page) []string {
	var got []string
	for _, m := range p.messages {
		got = append(got, m.ID)
	}
	return got
}

func TestAClientGetsWhatIsAboveItsOffset(t *testing.T) {
	x := newIndex(roomy(), maphash.MakeSeed(), 10)
	write(x, 10, 0, "a", "1")
	write(x, 11, 0, "b", "2")
	write(x, 12, 0, "a", "3")
	x.skip(13)
	tests := map[string]struct {
		client string
		from   int64
		want   []string
	}{
		"everything for a newcomer":        {"a", 9, []string{"1", "3"}},
		"nothing that it has already":      {"a", 10, []string{"3"}},
		"between two of its own":           {"a", 11, []string{"3"}},
		"nothing above the newest":         {"a", 12, nil},
		"nothing for a client without any": {"c", 9, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := x.after(test.client, test.from, 100)
			if !slices.Equal(ids(p), test.want) || p.fromLog || p.upTo != 13 {
				t.Fatalf("got %q up to %d (log: %v): want %q up to 13", ids(p), p.upTo, p.fromLog, test.want)
			}
		})
	}
}

func TestARepeatIsDroppedInsideTheWindowOnly(t *testing.T) {
	x := newIndex(roomy(), maphash.MakeSeed(), 0)
	write(x, 0, 0, "a", "1")
	if write(x, 1, 1, "a", "1") {
		t.Fatal("an app would see message 1 twice")
	}
	if !write(x, 2, 1, "b", "1") {
		t.Fatal("the same id to another client is another message")
	}
	x.trim(at(1))
	if !write(x, 3, 2, "a", "1") {
		t.Fatal("a message was withheld because of one outside the window")
	}
}

func TestAnOffsetOutsideTheWindowIsNotResumedInSilence(t *testing.T) {
	x := newIndex(roomy(), maphash.MakeSeed(), 5)
	write(x, 5, 0, "a", "1")
	write(x, 6, 10, "b", "2")
	tests := []struct {
		from   int64
		before bool
		after  bool
	}{{None, false, false}, {3, false, false}, {4, true, false}, {5, true, true}, {6, true, true}, {7, false, false}}
	for _, test := range tests {
		if got := x.covers(test.from); got != test.before {
			t.Errorf("offset %d is covered: %v: want %v", test.from, got, test.before)
		}
	}
	x.trim(at(5))
	for _, test := range tests {
		if got := x.covers(test.from); got != test.after {
			t.Errorf("after the first message left the window, offset %d is covered: %v: want %v", test.from, got, test.after)
		}
	}
}

func TestWithoutRoomForBodiesTheLogIsAsked(t *testing.T) {
	x := newIndex(&budget{maxBytes: 2 * (itemBytes + 3), maxItems: 100}, maphash.MakeSeed(), 0)
	for offset := range int64(4) {
		write(x, offset, 0, "a", strconv.FormatInt(offset, 10))
	}
	if p := x.after("a", 0, 100); !p.fromLog || p.upTo != 0 || len(p.messages) != 0 {
		t.Fatalf("got %q up to %d: message 1 is not in memory and must come from the log", ids(p), p.upTo)
	}
	if p := x.after("a", 1, 100); p.fromLog || !slices.Equal(ids(p), []string{"2", "3"}) {
		t.Fatalf("got %q (log: %v): want what memory holds", ids(p), p.fromLog)
	}
	if write(x, 4, 0, "a", "0") {
		t.Fatal("a repeat of a message without a body was not recognised")
	}
	if !x.delivers(1) || x.delivers(4) {
		t.Fatal("the log's reader would deliver the repeat or drop the message")
	}
}

func TestWithoutRoomForItemsRepeatsGoThroughAndMessagesStay(t *testing.T) {
	x := newIndex(&budget{maxBytes: math.MaxInt64, maxItems: 2}, maphash.MakeSeed(), 0)
	for offset := range int64(4) {
		if !write(x, offset, 0, "a", strconv.FormatInt(offset, 10)) {
			t.Fatalf("message %d was dropped at the bound", offset)
		}
	}
	if !x.covers(0) {
		t.Fatal("a client was told that it missed messages that the log still has")
	}
	if p := x.after("a", 0, 100); !p.fromLog {
		t.Fatalf("got %q: message 1 must come from the log", ids(p))
	}
	if !x.delivers(1) {
		t.Fatal("a message that the index has forgotten was not delivered from the log")
	}
	if !write(x, 4, 0, "a", "0") {
		t.Fatal("a message was withheld because of one that the index forgot")
	}
}

func TestWhatAnIndexHoldsIsReturned(t *testing.T) {
	b := roomy()
	x, y := newIndex(b, maphash.MakeSeed(), 0), newIndex(b, maphash.MakeSeed(), 0)
	for offset := range int64(100) {
		write(x, offset, int(offset), "a", strconv.FormatInt(offset, 10))
		write(y, offset, int(offset), "b", strconv.FormatInt(offset, 10))
	}
	x.release()
	y.trim(at(1000))
	if bytes, items := b.bytes.Load(), b.items.Load(); bytes != 0 || items != 0 {
		t.Fatalf("%d bytes and %d items are counted for nothing: the node would run out of room", bytes, items)
	}
	if len(y.recipients) != 0 || len(y.seen) != 0 || len(y.items.items) > ringFirst {
		t.Fatalf("an empty index holds %d clients, %d sights and room for %d items", len(y.recipients), len(y.seen), len(y.items.items))
	}
}

// logged is one record of the naive model: a slice that is searched from end to end.
type logged struct {
	offset   int64
	second   int
	to, id   string
	repeat   bool
	inWindow bool
}

// TestTheIndexAgreesWithASearchOfTheWholeLog compares the index with a slice: what a client gets from memory and log
// together is exactly what the log holds for it, each message once, in order.
func TestTheIndexAgreesWithASearchOfTheWholeLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &budget{maxBytes: rapid.SampledFrom([]int64{300, 1000, math.MaxInt64}).Draw(t, "bytes"), maxItems: rapid.SampledFrom([]int64{5, 20, math.MaxInt64}).Draw(t, "items")}
		start := int64(rapid.IntRange(0, 5).Draw(t, "start"))
		x := newIndex(b, maphash.MakeSeed(), start)
		offset, second := start, 0
		var log []logged
		client := rapid.SampledFrom([]string{"a", "b", "c"})
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				second += rapid.IntRange(0, 2).Draw(t, "later")
				l := logged{offset: offset, second: second, to: client.Draw(t, "to"), id: strconv.Itoa(rapid.IntRange(0, 30).Draw(t, "id"))}
				offset += int64(rapid.IntRange(1, 2).Draw(t, "gap"))
				l.inWindow = true
				known := slices.ContainsFunc(log, func(o logged) bool {
					return o.to == l.to && o.id == l.id && o.inWindow && !o.repeat && o.offset >= x.floor
				})
				l.repeat = !write(x, l.offset, l.second, l.to, l.id)
				if l.repeat != known {
					t.Fatalf("message %s to %s at %d is a repeat: %v: want %v", l.id, l.to, l.offset, l.repeat, known)
				}
				log = append(log, l)
			},
			"pass over": func(*rapid.T) { x.skip(offset); offset++ },
			"trim": func(t *rapid.T) {
				before := second - rapid.IntRange(0, 10).Draw(t, "window")
				x.trim(at(before))
				for i := range log {
					l := &log[i]
					left := l.inWindow && l.offset < x.start
					l.inWindow = l.inWindow && !left
					if l.inWindow && !l.repeat && l.second < before && l.offset >= x.floor {
						t.Fatalf("a message of second %d is still there after a trim to %d", l.second, before)
					}
					if left && !l.repeat && l.second >= before {
						t.Fatalf("a message of second %d left the window at %d", l.second, before)
					}
				}
			},
			"resume": func(t *rapid.T) {
				who := client.Draw(t, "client")
				from := int64(rapid.IntRange(int(x.start)-1, int(max(x.next-1, x.start-1))).Draw(t, "from"))
				var want, got []string
				for _, l := range log {
					if l.to == who && l.offset > from && !l.repeat {
						want = append(want, l.id)
					}
				}
				place := from
				for steps := 0; ; steps++ {
					if steps > 1000 {
						t.Fatal("the resume never ends")
					}
					p := x.after(who, place, rapid.IntRange(1, 4).Draw(t, "most"))
					got = append(got, ids(p)...)
					place = max(place, p.upTo)
					if p.fromLog {
						// One record from the log, as the scan reads it.
						for _, l := range log {
							if l.offset == place+1 && l.to == who && x.delivers(l.offset) && (l.offset >= x.floor || !l.repeat) {
								got = append(got, l.id)
							}
						}
						place++
						continue
					}
					if len(p.messages) == 0 {
						break
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%s from %d got %q: want %q", who, from, got, want)
				}
			},
			"": func(t *rapid.T) {
				if b.bytes.Load() > b.maxBytes || b.items.Load() > b.maxItems || b.bytes.Load() < 0 || b.items.Load() < 0 {
					t.Fatalf("the index holds %d bytes and %d items", b.bytes.Load(), b.items.Load())
				}
			},
		})
	})
}

func BenchmarkIndexAppendAndDeliver(b *testing.B) {
	const clients = 1000
	x := newIndex(&budget{maxBytes: 64 << 20, maxItems: 100_000}, maphash.MakeSeed(), 0)
	r := &reader{index: x, subs: map[string][]*Subscription{}}
	names := make([]string, clients)
	for i := range names {
		names[i] = fmt.Sprint("client-", i)
		s := &Subscription{shard: r, client: names[i], receiver: discard{}, from: None, gone: make(chan struct{})}
		s.live.Store(true)
		r.subs[names[i]] = []*Subscription{s}
	}
	values := make([][]byte, 4096)
	for i := range values {
		value, err := record.Message{From: names[(i*7)%clients], ID: fmt.Sprint("m-", i), To: names[i%clients], Payload: make([]byte, 100)}.Append(nil)
		if err != nil {
			b.Fatal(err)
		}
		values[i] = value
	}
	offset := int64(0)
	batch := fetched{entries: make([]entry, 64)}
	r.now, r.window = time.Now, time.Hour
	b.ReportAllocs()
	for b.Loop() {
		// One message: a batch of 64 is taken every 64th time.
		e := &batch.entries[offset%64]
		*e = entry{offset: offset, at: at(int(offset / 1000)), value: values[offset%4096]}
		offset++
		if offset%64 == 0 {
			batch.next, batch.at = offset, time.Now()
			r.take(batch)
		}
		if offset%4096 == 0 {
			clear(x.seen) // else all but the first round would be repeats
		}
	}
}

type discard struct{}

func (discard) Deliver(Message) {}
