package socket

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/record"
	"github.com/tidegate/tidegate/socket/engine"
)

// ends is a connection that only remembers how it was closed.
type ends struct {
	engine.Conn

	mu   sync.Mutex
	code uint16
}

func (e *ends) Close(code uint16, _ string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.code == 0 {
		e.code = code
	}
}

func (e *ends) closed() uint16 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.code
}

// starting is one session of a client, as its node holds it.
type starting struct {
	*resident
	conn *ends
	late bool // its node reads its record before it holds the session
}

func begun(n *node, own start) starting {
	own.offset = -1
	conn := &ends{}
	return starting{resident: &resident{node: n, conn: conn, client: "ada", own: own}, conn: conn}
}

func TestOfAnyStartsExactlyOneSurvivesEverywhere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		nodes := map[fleet.NodeID]*node{}
		for _, id := range []fleet.NodeID{"a", "b", "c"} {
			nodes[id] = &node{id: id, residents: newResidents(), starts: newStarts(), now: time.Now}
		}
		var all []starting
		for i := range rapid.IntRange(1, 8).Draw(t, "starts") {
			// Without Redis a node may give one epoch twice, and to one session or to two.
			at := rapid.SampledFrom([]fleet.NodeID{"a", "b", "c"}).Draw(t, "node")
			s := begun(nodes[at], start{
				epoch: rapid.Uint64Range(1, 3).Draw(t, "epoch"), node: at, session: rapid.SampledFrom([]string{"s", "t"}).Draw(t, "session"),
			})
			s.late = rapid.Bool().Draw(t, "late")
			all = append(all, s)
			s.announced(int64(i + 1))
			tell(nodes, s, int64(i+1))
		}
		survivors := 0
		for _, s := range all {
			if s.conn.closed() == 0 {
				survivors++
			}
		}
		if survivors != 1 {
			t.Fatalf("%d of %d sessions of one client survive, want one", survivors, len(all))
		}
	})
}

// tell brings a session up on its node and its record to every node, in one of the two orders that happen.
func tell(nodes map[fleet.NodeID]*node, s starting, offset int64) {
	read := func() {
		for _, n := range nodes {
			n.SessionStarted(0, record.Session{Client: "ada", Session: s.own.session, Epoch: s.own.epoch, Node: s.own.node}, offset)
		}
	}
	if s.late {
		read()
	}
	s.node.residents.add(s.resident)
	newest := s.node.starts.newest(0, "ada")
	if own := s.facing(newest); older(own, newest) {
		s.supersede(own, newest)
	}
	if !s.late {
		read()
	}
}

func TestAStartWithoutAReceiptLearnsItsPlaceFromTheLogOnce(t *testing.T) {
	t.Parallel()
	s := begun(nil, start{epoch: 5, node: "a", session: "s"})
	s.announced(0)
	own := start{epoch: 5, node: "a", session: "s", offset: 7}
	for _, other := range []start{{epoch: 5, node: "a", session: "t", offset: 3}, own} {
		if s.replaced(other); s.conn.closed() != 0 {
			t.Fatalf("a session was closed because of %+v: it is not newer", other)
		}
	}
	again := own
	again.offset = 9
	if got := s.facing(again).offset; got != 7 {
		t.Errorf("a later start of the same epoch moved the session's own from 7 to %d: both would live on", got)
	}
}

func TestALiveConnectionGoesOnForAMomentWhenANewerOneHasStarted(t *testing.T) {
	t.Parallel()
	for session, want := range map[string]uint16{"the same": protocol.CloseMoved, "another": protocol.CloseReplaced} {
		t.Run(fmt.Sprint(session, " session"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := begun(nil, start{epoch: 5, node: "a", session: "the same"})
				s.live.Store(true)
				s.replaced(start{epoch: 6, node: "b", session: session, offset: 9})
				synctest.Wait()
				if code := s.conn.closed(); code != 0 || !s.moved.Load() {
					t.Errorf("closed with %d before the newer connection is welcomed: its client has none", code)
				}
				<-time.After(handover)
				synctest.Wait()
				if code := s.conn.closed(); code != want {
					t.Errorf("after the handover it is closed with %d, want %d", code, want)
				}
			})
		})
	}
}

func TestASessionThatNeverWasLiveEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := begun(nil, start{epoch: 5, node: "a", session: "s"})
	s.replaced(start{epoch: 6, node: "b", session: "t", offset: 9})
	if code := s.conn.closed(); code != protocol.CloseReplaced {
		t.Errorf("it is closed with %d, want %d", code, protocol.CloseReplaced)
	}
}
