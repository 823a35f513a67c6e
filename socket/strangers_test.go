package socket

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/shard"
)

// bound tells the node what it may take of strangers.
func (w *world) bound(r *running, limit shard.Limit) {
	w.t.Helper()
	told := w.table.Nodes[r.id]
	told.Limit = limit
	w.table.Nodes[r.id] = told
	w.write(func(*shard.Row) {})
	w.seen(r)
}

// back is what a client brings that resumes its session.
func back(p *peer) url.Values { return url.Values{protocol.ParamResume: {p.welcome.ResumeToken}} }

func TestANodeAtWhatItCanCarryTakesOnlyThoseWhoResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a", "--ws-retry-after=4s")
	w.own(a)
	ada, bob := connect(t, a.url(), "ada", nil), connect(t, a.url(), "bob", nil)
	w.bound(a, shard.Limit{Sessions: 2})
	waits := map[string]bool{}
	for i := range 12 {
		query := url.Values{}
		if i%2 == 0 {
			query.Set(protocol.ParamResume, "tr1.nonsense")
		}
		_, err := dial(t, a.url(), fmt.Sprintf("eve-%d", i), query)
		refused, after := refusedWith(err, http.StatusServiceUnavailable)
		if seconds, err := strconv.Atoi(after); !refused || err != nil || seconds < 4 || seconds > 8 {
			t.Fatalf("a stranger got %v and wait %q: want 503 and 4 to 8 seconds", err, after)
		}
		waits[after] = true
	}
	if len(waits) < 2 {
		t.Error("all strangers were told the same wait: they come back together")
	}
	if got := a.meter.Totals().Refused; got != 12 {
		t.Errorf("%d of 12 refusals count as demand", got)
	}
	again := connect(t, a.url(), "ada", back(ada))
	if again.welcome.ClientID != "ada" {
		t.Errorf("ada was welcomed as %+v", again.welcome)
	}
	ada.closedWith(protocol.CloseMoved)
	bob.quiet()
	w.bound(a, shard.Limit{Sessions: 3})
	connect(t, a.url(), "eve", nil)
	w.bound(a, shard.Limit{})
	connect(t, a.url(), "mallory", nil)
}

func TestStrangersComeNoFasterThanTheNodeCanTakeThemAndAfterThoseWhoResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a")
	w.own(a)
	ada := connect(t, a.url(), "ada", nil)
	w.bound(a, shard.Limit{Handshakes: 1})
	began, admitted := time.Now(), 0
	for i := range 10 {
		if _, err := dial(t, a.url(), fmt.Sprintf("eve-%d", i), nil); err == nil {
			admitted++
		}
	}
	if most := 2 + time.Since(began).Seconds(); admitted < 1 || float64(admitted) > most {
		t.Errorf("%d of 10 strangers were let in by a rate of 1/s within %s", admitted, time.Since(began))
	}
	for range 5 {
		ada = connect(t, a.url(), "ada", back(ada))
	}
	if _, err := dial(t, a.url(), "eve", nil); !is(refusedWith(err, http.StatusServiceUnavailable)) {
		t.Errorf("a stranger got %v right after five that resumed: they must come out of its rate", err)
	}
}

func TestManyWhoResumeLockStrangersOutForASecondAtMost(t *testing.T) {
	t.Parallel()
	var s strangers
	limit, now := shard.Limit{Handshakes: 40}, time.Unix(1_900_000_000, 0)
	for range 5000 {
		s.resumed(limit, now)
	}
	if s.take(limit, 0, now) == "" {
		t.Error("a stranger is let in right behind 5,000 that resumed")
	}
	if why := s.take(limit, 0, now.Add(1100*time.Millisecond)); why != "" {
		t.Errorf("%s: one second after the storm strangers are still locked out", why)
	}
}

func TestEachOfManyStrangersAtOnceTakesItsOwnTurn(t *testing.T) {
	t.Parallel()
	var s strangers
	limit, now := shard.Limit{Handshakes: 10}, time.Unix(1_900_000_000, 0)
	var admitted atomic.Int64
	var group sync.WaitGroup
	for range 200 {
		group.Go(func() {
			if s.full(limit, 0, now) == "" && s.take(limit, 0, now) == "" {
				admitted.Add(1)
			}
		})
	}
	group.Wait()
	if got := admitted.Load(); got != 10 {
		t.Errorf("%d of 200 strangers were let in at once where 10 may be", got)
	}
}

func TestALimitEndsWhenNoLeaderStandsByIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a")
	w.own(a)
	w.bound(a, shard.Limit{Sessions: 1})
	connect(t, a.url(), "ada", nil)
	if _, err := dial(t, a.url(), "eve", nil); !is(refusedWith(err, http.StatusServiceUnavailable)) {
		t.Fatalf("a stranger got %v from a node that is full", err)
	}
	w.redis.SetTime(time.Now().Add(limitLasts + time.Minute))
	refresh, cancel := contextUntil(t)
	defer cancel()
	if err := a.table.Refresh(refresh); err != nil {
		t.Fatal(err)
	}
	connect(t, a.url(), "eve", nil)
	w.write(func(*shard.Row) {})
	w.seen(a)
	if _, err := dial(t, a.url(), "mallory", nil); !is(refusedWith(err, http.StatusServiceUnavailable)) {
		t.Errorf("a stranger got %v though a leader stands by the limit again", err)
	}
}

func TestNoNodeHurriesToAnswerWhatChangesLimitsOnly(t *testing.T) {
	t.Parallel()
	table := func() *shard.Table {
		return &shard.Table{Version: 1, Fence: 1, Rows: []shard.Row{{Owner: "a"}}, Nodes: map[fleet.NodeID]shard.Node{"a": {URL: "ws://a"}}}
	}
	for name, test := range map[string]struct {
		change func(*shard.Table)
		same   bool
	}{
		"a limit": {func(t *shard.Table) { t.Nodes["a"] = shard.Node{URL: "ws://a", Limit: shard.Limit{Sessions: 1}} }, true},
		"a row":   {func(t *shard.Table) { t.Rows[0].Next = "b" }, false},
		"a state": {func(t *shard.Table) { t.Nodes["a"] = shard.Node{URL: "ws://a", State: fleet.Leaving} }, false},
		"a node":  {func(t *shard.Table) { t.Nodes["b"] = shard.Node{} }, false},
		"leaders": {func(t *shard.Table) { t.Fence++ }, false},
	} {
		next := table()
		next.Version++
		test.change(next)
		if got := tellsTheSame(table(), next); got != test.same {
			t.Errorf("a change of %s: the same is %t", name, got)
		}
	}
	if tellsTheSame(nil, table()) {
		t.Error("the first table is nothing to tell of")
	}
}

// A storm: all who were cut come back at once with strangers among them, to a node that can take only some of them.
func TestInAStormThoseWhoResumeGetInAndTheRestAreToldWhenToReturn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	w.own(a)
	const sessions = 30
	var cut []*peer
	for i := range sessions {
		cut = append(cut, connect(t, a.url(), fmt.Sprintf("client-%d", i), nil))
	}
	a.kill()
	w.table.Nodes[b.id] = shard.Node{URL: b.url(), State: w.table.Nodes[b.id].State, Limit: shard.Limit{Sessions: 10, Handshakes: 5}}
	w.own(b)
	strangers := 0
	for i, p := range cut {
		if _, err := dial(t, b.url(), fmt.Sprintf("stranger-%d", i), nil); err == nil {
			strangers++
		} else if refused, after := refusedWith(err, http.StatusServiceUnavailable); !refused || after == "" {
			t.Fatalf("a stranger got %v and no time to return", err)
		}
		if got := connect(t, b.url(), fmt.Sprintf("client-%d", i), back(p)); got.welcome.NodeID != "b" {
			t.Fatalf("client %d was welcomed by %q", i, got.welcome.NodeID)
		}
	}
	if strangers > 10 {
		t.Errorf("%d strangers took room from a node for 10 sessions", strangers)
	}
}
