package socket

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/beat"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/kafka/kafkatest"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/shard"
)

var nonce = http.Header{keys.HeaderNonce: {"secret"}}

// drainBeside starts a drain and returns where its summary will come.
func drainBeside(t *testing.T, r *running) <-chan Summary {
	t.Helper()
	answers := make(chan Summary, 1)
	go func() {
		status, body := get(t, http.MethodGet, r.adminURL(keys.PathDrain), nonce)
		var s Summary
		if err := json.Unmarshal([]byte(body), &s); err != nil || status != http.StatusOK {
			t.Errorf("drain answered %d %s", status, body)
		}
		answers <- s
	}()
	return answers
}

func await(t *testing.T, answers <-chan Summary) Summary {
	t.Helper()
	select {
	case s := <-answers:
		return s
	case <-time.After(patience):
		t.Fatal("the drain does not end")
		return Summary{}
	}
}

func status(t *testing.T, r *running) Summary {
	t.Helper()
	_, body := get(t, http.MethodGet, r.adminURL(keys.PathDrainStatus), nil)
	var s Summary
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatalf("status %s: %v", body, err)
	}
	return s
}

func TestADrainMovesEverySessionAndEndsEmpty(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	w.own(a)
	var clients []*peer
	for i := range 20 {
		clients = append(clients, connect(t, a.url(), fmt.Sprint("c", i), nil))
	}
	first, second := drainBeside(t, a), drainBeside(t, a)
	eventually(t, "the node drains", func() bool { return status(t, a).State == fleet.Draining })
	if code, _ := get(t, http.MethodGet, a.adminURL(keys.PathReady), nil); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz of a draining node answers %d, want 503", code)
	}
	if code, _ := get(t, http.MethodGet, a.adminURL(keys.PathHealth), nil); code != http.StatusOK {
		t.Errorf("/healthz of a draining node answers %d: it would be killed in the middle", code)
	}
	_, err := dial(t, a.url(), "late", nil)
	if refused, after := refusedWith(err, http.StatusServiceUnavailable); !refused || after == "" {
		t.Errorf("a newcomer at a draining node got %v, want 503 with a wait", err)
	}
	// Nobody has taken the shards over: there is time, so nobody is told to go yet, and messages still flow.
	clients[0].send("c1", "meanwhile")
	clients[1].receive("c0", "meanwhile")
	w.write(func(row *shard.Row) { row.Next = b.id })
	w.ready(b)
	w.write(func(row *shard.Row) { row.Owner, row.Next = b.id, "" })
	for _, c := range clients {
		told := next[protocol.Drain](c)
		if told.URL != b.url() || told.Reason != reasonDrain {
			t.Fatalf("%s was told %+v, want to go to %s", c.id, told, b.url())
		}
	}
	// Half follow the word, half wait for their turn.
	for i, c := range clients {
		if i%2 == 0 {
			c.resume(b.url())
		}
		c.closedWith(protocol.CloseMoved)
	}
	for _, answers := range []<-chan Summary{first, second} {
		s := await(t, answers)
		if s.Left != 0 || !s.Done || s.Sessions != 20 || s.Moved+s.Closed != 20 || s.Forced != 0 || s.Hurried {
			t.Errorf("the drain's summary is %+v, want 20 sessions gone, none by force", s)
		}
	}
}

func TestADrainWithNobodyElseEndsInsideItsDeadlineAndTellsEverybody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a", "--drain-timeout=4s")
	w.own(a)
	var clients []*peer
	for i := range 10 {
		clients = append(clients, connect(t, a.url(), fmt.Sprint("c", i), nil))
	}
	s := await(t, drainBeside(t, a))
	if s.Left != 0 || s.ElapsedMillis > 4000 {
		t.Errorf("the drain's summary is %+v, want it empty inside 4 s", s)
	}
	for _, c := range clients {
		next[protocol.Drain](c)
		c.closedWith(protocol.CloseMoved)
	}
}

func TestADrainIsNeverBlockedByAShardThatNobodyTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a", "--drain-timeout=3s", "--drain-rate=10")
	w.start("b")
	w.own(a)
	var clients []*peer
	for i := range 30 {
		clients = append(clients, connect(t, a.url(), fmt.Sprint("c", i), nil))
	}
	// The leader is away and Redis with it: the table stays as it is for ever.
	a.redis.cut()
	s := await(t, drainBeside(t, a))
	if s.Left != 0 || s.ElapsedMillis > 3000 || !s.Hurried {
		t.Errorf("the drain's summary is %+v, want it empty inside 3 s and hurried", s)
	}
	for _, c := range clients {
		next[protocol.Drain](c)
		c.closedWith(protocol.CloseMoved)
	}
	a.redis.mend()
}

func TestSIGTERMDuringADrainClosesWhatIsLeftAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.start("a", "--drain-patience=5m"), w.start("b")
	w.own(a)
	var clients []*peer
	for i := range 10 {
		clients = append(clients, connect(t, a.url(), fmt.Sprint("c", i), nil))
	}
	answers := drainBeside(t, a)
	eventually(t, "the node drains", func() bool { return status(t, a).State == fleet.Draining })
	w.write(func(row *shard.Row) { row.Next = b.id })
	w.seen(a)
	a.stop(t)
	for _, c := range clients {
		told := next[protocol.Drain](c)
		if told.URL != b.url() || told.RetryAfter > time.Second {
			t.Errorf("%s was told %+v, want where to go and a wait that fits ten clients", c.id, told)
		}
		c.closedWith(protocol.CloseMoved)
	}
	if s := await(t, answers); s.Left != 0 {
		t.Errorf("the drain's summary is %+v", s)
	}
	beats, _, bad, err := beat.Read(t.Context(), testRedis(t, w), kafkatest.Fleet())
	if err != nil || len(bad) > 0 {
		t.Fatal(err, bad)
	}
	last := load.Heartbeat{}
	for _, h := range beats {
		if h.Node == "a" {
			last = h
		}
	}
	if last.State != fleet.Gone || last.Connections != 0 {
		t.Errorf("the last heartbeat is %s with %d connections, want gone with none", last.State, last.Connections)
	}
}

func TestADrainNeedsThePodsNonce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a")
	tests := map[string]http.Header{"none": nil, "a wrong one": {keys.HeaderNonce: {"guess"}}, "an empty one": {keys.HeaderNonce: {""}}}
	for name, header := range tests {
		t.Run(name, func(t *testing.T) {
			code, body := get(t, http.MethodPost, a.adminURL(keys.PathDrain), header)
			if code != http.StatusForbidden || !strings.Contains(body, keys.HeaderNonce) || strings.Contains(body, "secret") {
				t.Errorf("a drain with nonce %q answered %d %q, want 403 that names the header", name, code, body)
			}
		})
	}
	if state := status(t, a).State; state == fleet.Draining {
		t.Error("the node drains")
	}
	if code, _ := get(t, http.MethodPut, a.adminURL(keys.PathDrain), nonce); code != http.StatusMethodNotAllowed {
		t.Errorf("PUT /drain answers %d, want 405", code)
	}
}

func TestWithoutANonceOnlyDevModeDrainsByHTTP(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ dev, allowed bool }{"dev": {true, true}, "production": {false, false}} {
		t.Run(name, func(t *testing.T) {
			n := &node{}
			n.o.Token.Dev = test.dev
			if got := n.mayDrain(&http.Request{Header: http.Header{}}); got != test.allowed {
				t.Errorf("a drain without a nonce is allowed %t, want %t", got, test.allowed)
			}
		})
	}
}

func TestANodeServesOnceItHasReadItsShare(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a", "--pprof")
	if code, _ := get(t, http.MethodGet, a.adminURL(keys.PathReady), nil); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz of a node without a table answers %d, want 503", code)
	}
	if _, err := dial(t, a.url(), "early", nil); !is(refusedWith(err, http.StatusServiceUnavailable)) {
		t.Errorf("a client of a fleet without a table got %v, want 503", err)
	}
	w.own(a)
	eventually(t, "the node is ready", func() bool {
		code, _ := get(t, http.MethodGet, a.adminURL(keys.PathReady), nil)
		return code == http.StatusOK
	})
	ada := connect(t, a.url(), "ada", nil)
	ada.send("ada", "m")
	ada.receive("ada", "m")
	eventually(t, "the heartbeat tells the load", func() bool {
		beats, _, _, err := beat.Read(t.Context(), testRedis(t, w), kafkatest.Fleet())
		if err != nil || len(beats) != 1 {
			return false
		}
		h := beats[0]
		return h.State == fleet.Serving && h.Connections == 1 && len(h.Shards) == shards && h.Shards[0].Ready && h.URL == a.url() &&
			h.TableVersion == w.table.Version && h.Fence == w.table.Fence && h.MessagesPerSecond > 0 && h.Memory > 0
	})
	_, metrics := get(t, http.MethodGet, a.adminURL(keys.PathMetrics), nil)
	for _, want := range []string{
		`tidegate_socket_connections{fleet="test/fleet",node="a"} 1`, `tidegate_socket_messages_accepted_total{fleet="test/fleet",node="a"} 1`,
		`tidegate_socket_shards{fleet="test/fleet",node="a",state="ready"} 8`, `tidegate_socket_delivery_seconds_count{fleet="test/fleet",node="a"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics do not say %s", want)
		}
	}
	if code, _ := get(t, http.MethodGet, a.adminURL("/debug/pprof/cmdline"), nil); code != http.StatusOK {
		t.Errorf("profiles answer %d, want 200 when they are asked for", code)
	}
}

func TestAMemberWithoutAShareServesToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	w.own(a)
	eventually(t, "the node is ready", func() bool { return b.lifecycle.state() == fleet.Serving })
}

func TestADrainOfAnEmptyNodeEndsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a")
	if s := await(t, drainBeside(t, a)); !s.Done || s.Sessions != 0 || s.Left != 0 {
		t.Errorf("the drain's summary is %+v", s)
	}
}
