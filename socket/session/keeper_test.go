package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// live is a session whose offset a test moves.
type live struct {
	mu sync.Mutex
	r  Record
}

func (l *live) Record() Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r
}

func (l *live) ack(value int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r.Offset = at(value)
}

// ledger is a Writer that counts.
type ledger struct {
	puts   map[string]int
	last   map[string]Record
	marker Marker
	fail   error
}

func newLedger() *ledger {
	return &ledger{puts: map[string]int{}, last: map[string]Record{}, marker: Marker{Value: "1"}}
}

func (l *ledger) Put(_ context.Context, records []Record) error {
	if l.fail != nil {
		return l.fail
	}
	if len(records) > batch {
		return fmt.Errorf("%d records in one batch", len(records))
	}
	for _, r := range records {
		l.puts[r.Client]++
		l.last[r.Client] = r
	}
	return nil
}

func (l *ledger) Marker(context.Context) (Marker, error) { return l.marker, l.fail }

// run ticks for a while of made-up time.
func run(t *testing.T, k *Keeper, c *clock, d time.Duration) {
	t.Helper()
	for range d / time.Second {
		c.advance(time.Second)
		k.tick(t.Context())
	}
}

func keeper(l *ledger, out *bytes.Buffer) (*Keeper, *clock) {
	c := newClock()
	return NewKeeper(l, c.Now, slog.New(slog.NewTextHandler(out, nil))), c
}

func TestChangedRecordsAreWrittenWithin15SecondsAndOthersRefreshed(t *testing.T) {
	l := newLedger()
	k, c := keeper(l, &bytes.Buffer{})
	var sessions []*live
	for i := range 600 {
		s := &live{r: Record{Client: fmt.Sprintf("c%d", i), Epoch: 1}}
		sessions = append(sessions, s)
		k.Track(s, true)
	}
	run(t, k, c, 15*time.Second)
	if len(l.puts) != 0 {
		t.Fatalf("%d records were written though nothing changed", len(l.puts))
	}
	sessions[7].ack(3)
	run(t, k, c, 15*time.Second)
	if len(l.puts) != 1 || l.last["c7"].Offset != at(3) {
		t.Fatalf("after 15 s the records written are %v, want c7's", l.puts)
	}
	most := 0
	for range 100 {
		before := len(l.puts)
		run(t, k, c, time.Second)
		most = max(most, len(l.puts)-before)
	}
	if len(l.puts) != 600 {
		t.Errorf("%d of 600 records were refreshed in 130 s: the others would expire", len(l.puts))
	}
	if most > 120 {
		t.Errorf("%d records were refreshed in one second: they are not spread", most)
	}
}

func TestAClosedSessionIsWrittenALastTime(t *testing.T) {
	l := newLedger()
	k, c := keeper(l, &bytes.Buffer{})
	s := &live{r: Record{Client: "ada", Epoch: 1}}
	closed := k.Track(s, true)
	s.ack(12)
	closed()
	closed()
	run(t, k, c, time.Second)
	if l.puts["ada"] != 1 || l.last["ada"].Offset != at(12) {
		t.Errorf("the last record is %+v, written %d times", l.last["ada"], l.puts["ada"])
	}
	run(t, k, c, 200*time.Second)
	if l.puts["ada"] != 1 {
		t.Errorf("a session that is closed was written %d times: its record would never expire", l.puts["ada"])
	}
}

func TestARedisThatLostItsDataGetsAllSessionsAnew(t *testing.T) {
	for name, after := range map[string]Marker{"the mark is gone": {}, "the mark is a new one": {Value: "2"}} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			var out bytes.Buffer
			k, c := keeper(l, &out)
			for i := range 1000 {
				k.Track(&live{r: Record{Client: fmt.Sprintf("c%d", i), Epoch: 1}}, true)
			}
			run(t, k, c, 2*time.Second)
			l.fail = errors.New("connection refused")
			run(t, k, c, 10*time.Second)
			l.fail, l.marker = nil, after
			run(t, k, c, 2*time.Second)
			if len(l.puts) != 1000 {
				t.Errorf("%d of 1000 sessions were written anew: senders would be told that the others do not exist", len(l.puts))
			}
			run(t, k, c, 5*time.Second)
			if l.puts["c1"] != 1 {
				t.Errorf("a session was written %d times for one loss", l.puts["c1"])
			}
			if n := strings.Count(out.String(), "cannot be written"); n != 1 {
				t.Errorf("the outage was logged %d times, want once", n)
			}
		})
	}
}

func TestAfterAnOutageAllSessionsAreWrittenOnceThoughTheMarkIsStillThere(t *testing.T) {
	l := newLedger()
	k, c := keeper(l, &bytes.Buffer{})
	for i := range 1000 {
		k.Track(&live{r: Record{Client: fmt.Sprintf("c%d", i), Epoch: 1}}, true)
	}
	run(t, k, c, 2*time.Second)
	l.fail = errors.New("connection refused")
	run(t, k, c, 3*time.Second)
	l.fail = nil
	run(t, k, c, time.Second)
	if len(l.puts) != 1000 {
		t.Errorf("%d of 1000 sessions were written: what Redis was told in its last second may be gone", len(l.puts))
	}
	run(t, k, c, 20*time.Second)
	for client, puts := range l.puts {
		if puts != 1 {
			t.Fatalf("%s was written %d times for one outage", client, puts)
		}
	}
}

func TestWhatCouldNotBeWrittenStaysDue(t *testing.T) {
	l := newLedger()
	k, c := keeper(l, &bytes.Buffer{})
	s := &live{r: Record{Client: "ada", Epoch: 1}}
	k.Track(s, false)
	gone := k.Track(&live{r: Record{Client: "bob", Epoch: 1}}, true)
	gone()
	l.fail = errors.New("connection refused")
	run(t, k, c, 30*time.Second)
	if err := k.Flush(t.Context()); err == nil {
		t.Error("a flush to nobody succeeded")
	}
	l.fail = nil
	if err := k.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.puts["ada"] != 1 || l.puts["bob"] != 1 {
		t.Errorf("after the outage the records written are %v, want ada's and bob's once", l.puts)
	}
}

func TestTheKeeperEndsWithItsContext(t *testing.T) {
	k, _ := keeper(newLedger(), &bytes.Buffer{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	k.Run(ctx)
}
