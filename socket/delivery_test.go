package socket

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/kafka/kafkatest"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/shard"
)

// on finds a client id whose shard is even (0) or odd (1), so that two nodes can share the shards by that.
func on(parity int, name string) string {
	for i := 0; ; i++ {
		id := fmt.Sprintf("%s%d", name, i)
		if int(shard.Of(id, shards))%2 == parity {
			return id
		}
	}
}

// split gives the even shards to one node and the odd ones to the other.
func (w *world) split(even, odd *running) {
	w.t.Helper()
	i := 0
	w.write(func(row *shard.Row) {
		row.Owner, row.Next = []fleet.NodeID{even.id, odd.id}[i%2], ""
		i++
	})
	for i := range shards {
		owner := []*running{even, odd}[i%2]
		eventually(w.t, "a shard is ready", func() bool { return owner.inbox.Ready(shard.ID(i)) })
	}
}

func TestAMessageReachesAClientOnAnotherNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	w.split(a, b)
	ada := connect(t, a.url(), on(0, "ada"), nil)
	bob := connect(t, b.url(), on(1, "bob"), nil)
	for i := range 20 {
		ada.send(bob.id, fmt.Sprint("m", i))
		bob.send(ada.id, fmt.Sprint("r", i))
	}
	for i := range 20 {
		bob.receive(ada.id, fmt.Sprint("m", i))
		ada.receive(bob.id, fmt.Sprint("r", i))
	}
	ada.send(ada.id, "to myself")
	ada.receive(ada.id, "to myself")
	bob.quiet()
	if bob.last.IsZero() {
		t.Error("a pong carries no offset: an idle client would never move forward")
	}
}

func TestTheSameMessageAgainIsAcceptedAgainAndReceivedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a")
	w.own(a)
	ada, bob := connect(t, a.url(), "ada", nil), connect(t, a.url(), "bob", nil)
	ada.send("bob", "m")
	ada.send("bob", "m")
	ada.send("bob", "n")
	bob.receive("ada", "m")
	bob.receive("ada", "n")
	bob.quiet()
}

func TestAClientThatWasAwayResumesWhereItWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a")
	w.own(a)
	ada, bob := connect(t, a.url(), "ada", nil), connect(t, a.url(), "bob", nil)
	ada.send("bob", "m0")
	bob.receive("ada", "m0")
	_ = bob.conn.CloseNow()
	eventually(t, "the node has seen bob go", func() bool { return !a.residents.has("bob") })
	for i := 1; i <= 50; i++ {
		ada.send("bob", fmt.Sprint("m", i))
	}
	back := bob.resume(a.url())
	if !back.welcome.Resumed || back.welcome.Epoch != bob.welcome.Epoch+1 {
		t.Errorf("the welcome is resumed %t with epoch %d after %d", back.welcome.Resumed, back.welcome.Epoch, bob.welcome.Epoch)
	}
	for i := 1; i <= 50; i++ {
		back.receive("ada", fmt.Sprint("m", i))
	}
	back.quiet()
}

func TestAClientWithoutItsOffsetGoesOnFromItsRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a")
	w.own(a)
	ada, bob := connect(t, a.url(), "ada", nil), connect(t, a.url(), "bob", nil)
	ada.send("bob", "m0")
	bob.receive("ada", "m0")
	eventually(t, "the ack has arrived", func() bool { return !a.residents.of("bob")[0].Record().Offset.IsZero() })
	_ = bob.conn.CloseNow()
	record := keys.Session(kafkatest.Fleet(), "bob")
	eventually(t, "the last record is written", func() bool { return w.redis.HGet(record, "offset") != "" })
	ada.send("bob", "m1")
	again := connect(t, a.url(), "bob", nil)
	again.receive("ada", "m1")
	if !again.welcome.Resumed {
		t.Error("the record's offset was honoured but the welcome says that messages may be missing")
	}
	again.quiet()
}

func TestAnOffsetOfAnotherTopicOrAboveTheLogIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a")
	w.own(a)
	connect(t, a.url(), "bob", nil)
	for name, offset := range map[string]string{"another topic": "elsewhere:3", "above the end": w.kafka.Inbox.TopicID + ":999999"} {
		t.Run(name, func(t *testing.T) {
			if again := connect(t, a.url(), "bob", url.Values{protocol.ParamOffset: {offset}}); again.welcome.Resumed {
				t.Error("the welcome claims that nothing is missing")
			}
		})
	}
}

func TestNobodyIsToldThatAStrangerExists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a")
	w.own(a)
	ada := connect(t, a.url(), "ada", nil)
	ada.write(protocol.Send{ID: "m", To: "nobody", Payload: []byte(`1`)})
	if got := next[protocol.Error](ada); got.Code != protocol.CodeNoSession || got.ID != "m" {
		t.Errorf("a message to a stranger was answered %+v, want no_session", got)
	}
	connect(t, a.url(), "bob", nil)
	ada.send("bob", "m2")
}

func TestWithoutTheFleetsMarkNobodyIsCalledAStranger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a")
	w.own(a)
	ada := connect(t, a.url(), "ada", nil)
	w.redis.Del(keys.Marker(kafkatest.Fleet()))
	ada.write(protocol.Send{ID: "m", To: "nobody", Payload: []byte(`1`)})
	got := next[protocol.Error](ada)
	if got.Code != protocol.CodeUnavailable || got.RetryAfter < time.Second {
		t.Errorf("with an empty Redis a message to an unknown client was answered %+v, want unavailable with a wait", got)
	}
}

func TestTheSecondOfTwoClientsWins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a")
	w.own(a)
	first := connect(t, a.url(), "ada", nil)
	second := connect(t, a.url(), "ada", nil)
	first.closedWith(protocol.CloseReplaced)
	third := second.resume(a.url())
	second.closedWith(protocol.CloseMoved)
	third.quiet()
	if third.welcome.Epoch != first.welcome.Epoch+2 {
		t.Errorf("the epochs are %d, %d, %d", first.welcome.Epoch, second.welcome.Epoch, third.welcome.Epoch)
	}
}

func TestAShardMovesMakeBeforeBreak(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	w.own(a)
	ada, bob := connect(t, a.url(), "ada", nil), connect(t, a.url(), "bob", nil)
	ada.send("bob", "m0")
	bob.receive("ada", "m0")
	w.write(func(row *shard.Row) { row.Next = b.id })
	w.ready(b)
	w.write(func(row *shard.Row) { row.Owner, row.Next = b.id, "" })
	told := next[protocol.Drain](bob)
	if told.URL != b.url() || told.Reason != reasonRebalance {
		t.Fatalf("bob was told %+v, want to go to %s", told, b.url())
	}
	// Between the word and the new connection the old one still delivers.
	ada.send("bob", "m1")
	bob.receive("ada", "m1")
	moved := bob.resume(told.URL)
	if !moved.welcome.Resumed {
		t.Error("the move says that messages may be missing")
	}
	ada.send("bob", "m2")
	moved.receive("ada", "m2")
	moved.quiet()
	bob.closedWith(protocol.CloseMoved)
	// ada does not follow the word: its turn to be closed comes.
	ada.closedWith(protocol.CloseMoved)
	eventually(t, "a reads none of the shards any more", func() bool { return len(a.inbox.Stats()) == 0 })
}

func TestWhenANodeIsKilledItsClientsResumeElsewhereWithoutALoss(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	w.split(a, b)
	ada, bob := connect(t, a.url(), on(0, "ada"), nil), connect(t, b.url(), on(1, "bob"), nil)
	bob.send(ada.id, "m0")
	ada.receive(bob.id, "m0")
	a.kill()
	ada.closedWith(uint16(1006))
	for i := 1; i <= 30; i++ {
		bob.send(ada.id, fmt.Sprint("m", i))
	}
	// The leader flips the dead node's shards at once: nobody has warmed them up.
	delete(w.table.Nodes, a.id)
	w.write(func(row *shard.Row) { row.Owner, row.Next = b.id, "" })
	w.seen(b)
	back := ada.resume(b.url())
	for i := 1; i <= 30; i++ {
		back.receive(bob.id, fmt.Sprint("m", i))
	}
	back.quiet()
	if !back.welcome.Resumed {
		t.Error("the resume says that messages may be missing")
	}
}
