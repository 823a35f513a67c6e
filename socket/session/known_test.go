package session

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/tidegate/tidegate/internal/keys"
)

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newClock() *clock { return &clock{now: time.Unix(1000, 0)} }

func mark(server *miniredis.Miniredis, age time.Duration) {
	_ = server.Set(keys.Marker(chat), strconv.FormatInt(1_700_000_000_000-age.Milliseconds(), 10))
}

func TestWhoHasASession(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(*miniredis.Miniredis)
		want    Answer
	}{
		{"a client with a record is present", func(s *miniredis.Miniredis) { record(s, "ada") }, Present},
		{"with an old mark a client without a record is absent", func(s *miniredis.Miniredis) { mark(s, time.Hour) }, Absent},
		{"without the mark nobody can tell", func(*miniredis.Miniredis) {}, Unknown},
		{"with a mark under 30 s old nobody can tell", func(s *miniredis.Miniredis) { mark(s, 29*time.Second) }, Unknown},
		{"with a mark that is no time nobody can tell", func(s *miniredis.Miniredis) { _ = s.Set(keys.Marker(chat), "x") }, Unknown},
		{"with Redis away nobody can tell", func(s *miniredis.Miniredis) { s.SetError("LOADING") }, Unknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server, store := open(t)
			tt.prepare(server)
			if got := NewKnown(store, newClock().Now).Lookup(t.Context(), "ada"); got != tt.want {
				t.Errorf("the answer is %d, want %d", got, tt.want)
			}
		})
	}
}

func record(server *miniredis.Miniredis, client string) {
	server.HSet(keys.Session(chat, client), "epoch", "1")
	server.SetTTL(keys.Session(chat, client), 6*time.Minute)
}

func TestAnswersAreKeptAsLongAsTheyHold(t *testing.T) {
	server, store := open(t)
	mark(server, time.Hour)
	c := newClock()
	known := NewKnown(store, c.Now)
	expect := func(want Answer, when string) {
		t.Helper()
		if got := known.Lookup(t.Context(), "ada"); got != want {
			t.Fatalf("%s the answer is %d, want %d", when, got, want)
		}
	}
	expect(Absent, "at first")
	record(server, "ada")
	c.advance(900 * time.Millisecond)
	expect(Absent, "inside the second")
	c.advance(200 * time.Millisecond)
	expect(Present, "after a second")
	server.SetError("LOADING")
	c.advance(5 * time.Minute)
	expect(Present, "with Redis away, inside the record's life,")
	c.advance(2 * time.Minute)
	expect(Unknown, "after the record's life, with Redis away,")
	server.SetError("")
	expect(Unknown, "inside the pause after a failure")
	c.advance(time.Second)
	expect(Present, "when Redis is back")
}

// slow is a store whose answers a test holds back.
type slow struct {
	mu    sync.Mutex
	calls int
	hold  chan struct{}
	fail  error
}

func (s *slow) Expiry(context.Context, string) (time.Duration, bool, error) {
	s.mu.Lock()
	s.calls++
	s.mu.Unlock()
	<-s.hold
	return time.Minute, true, s.fail
}

func (s *slow) Marker(context.Context) (Marker, error) { return Marker{}, s.fail }

func TestManyWhoAskAtOnceAskRedisOnce(t *testing.T) {
	store := &slow{hold: make(chan struct{})}
	known := NewKnown(store, newClock().Now)
	answers := make(chan Answer)
	for range 20 {
		go func() { answers <- known.Lookup(t.Context(), "ada") }()
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	// The look-up that waits for another's answer gives up when its own time is over.
	go func() { answers <- known.Lookup(impatient, "ada") }()
	close(store.hold)
	for range 21 {
		if got := <-answers; got == Absent {
			t.Errorf("an answer is %d, want present or, to the impatient, unknown", got)
		}
	}
	if store.calls != 1 {
		t.Errorf("Redis was asked %d times, want once", store.calls)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	store := &slow{hold: make(chan struct{})}
	close(store.hold)
	known := NewKnown(store, newClock().Now)
	for i := range stripes * stripeEntries * 5 / 4 {
		known.Lookup(t.Context(), "client"+strconv.Itoa(i))
	}
	for i := range known.stripes {
		if n := len(known.stripes[i].entries); n > stripeEntries {
			t.Fatalf("a stripe holds %d recipients: made-up names would fill the memory", n)
		}
	}
}

func BenchmarkLookupFromMemory(b *testing.B) {
	store := &slow{hold: make(chan struct{})}
	close(store.hold)
	known := NewKnown(store, time.Now)
	b.ReportAllocs()
	for b.Loop() {
		if known.Lookup(b.Context(), "ada") != Present {
			b.Fatal("not present")
		}
	}
}
