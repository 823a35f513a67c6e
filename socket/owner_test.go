package socket

import (
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/internal/kafka/kafkatest"
	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/shard"
)

func TestAClientIsSentToItsOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	w.own(a)
	w.seen(b)
	p, err := dial(t, b.url(), "ada", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := next[protocol.Moved](p); got.URL != a.url() {
		t.Errorf("the client was sent to %q, want the owner %q", got.URL, a.url())
	}
	p.closedWith(protocol.CloseMoved)
}

func TestANodeReadsTheTableAgainForAClientWithANewerOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	w.own(a)
	w.seen(b)
	w.write(func(row *shard.Row) { row.Owner = b.id })
	// b may not have heard of it: it must look before it sends the client back.
	connect(t, b.url(), "ada", url.Values{protocol.ParamTable: {strconv.FormatUint(w.table.Version, 10)}})
}

func TestTheNextOwnerTakesClientsAsSoonAsItIsReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	w.own(a)
	w.write(func(row *shard.Row) { row.Next = b.id })
	w.ready(b)
	ada := connect(t, b.url(), "ada", nil)
	bob := connect(t, a.url(), "bob", nil)
	b.stirred.tell()
	table, _, _ := b.table.Latest()
	looks := &mover{node: b.node}
	if found := looks.survey(table, time.Now(), false); len(found.ready)+found.told > 0 {
		t.Error("the next owner throws out whom it has taken in: they would go back and forth until the table flips")
	}
	ada.stays()
	w.write(func(row *shard.Row) { row.Owner, row.Next = b.id, "" })
	// bob's word says that the flip is acted on; ada is where she belongs.
	if told := next[protocol.Drain](bob); told.URL != b.url() {
		t.Errorf("bob was told %+v, want to go to the new owner", told)
	}
	w.seen(b)
	ada.stays()
}

// stays asserts that the node has told the client nothing and still answers.
func (p *peer) stays() {
	p.t.Helper()
	p.write(protocol.Ping{})
	select {
	case frame := <-p.frames:
		if _, ok := frame.(protocol.Pong); !ok {
			p.t.Fatalf("%s got %#v, want to stay", p.id, frame)
		}
	case closed := <-p.ended:
		p.t.Fatalf("the connection of %s closed with %d (%s), want it to stay", p.id, closed.Code, closed.Reason)
	case <-time.After(patience):
		p.t.Fatalf("%s waited in vain for a pong", p.id)
	}
}

func TestTheNextOwnerOfADrainLetsItsClientsGoToTheOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	w.own(a)
	w.write(func(row *shard.Row) { row.Next = b.id })
	w.ready(b)
	ada := connect(t, b.url(), "ada", nil)
	answers := drainBeside(t, b)
	if told := next[protocol.Drain](ada); told.URL != a.url() || told.Reason != reasonDrain {
		t.Errorf("ada was told %+v, want to go to the owner", told)
	}
	ada.resume(a.url())
	if s := await(t, answers); s.Left != 0 || s.Forced != 0 {
		t.Errorf("the drain's summary is %+v", s)
	}
}

func TestTheNextOwnerHoldsTheWelcomeUntilItIsReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.start("a"), w.start("b", "--welcome-timeout=60s")
	w.own(a)
	stop := w.kafka.Answer(kmsg.Produce, func(r kmsg.Request) (kmsg.Response, error, bool) {
		return kafkatest.RefuseProduce(r, kerr.NotEnoughReplicas.Code), nil, true
	})
	w.write(func(row *shard.Row) { row.Next = b.id })
	w.seen(b)
	ada, err := dial(t, b.url(), "ada", nil)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node holds the client", func() bool { return b.open.Load() == 1 })
	stop()
	next[protocol.Welcome](ada)
}

func TestAClientWhoseShardLeavesWhileItStartsIsSentOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	w.own(a)
	announcing, goOn := make(chan struct{}, 1), make(chan struct{})
	stop := w.kafka.Answer(kmsg.Produce, func(kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case announcing <- struct{}{}:
		default:
		}
		<-goOn
		return nil, nil, false
	})
	defer stop()
	ada, err := dial(t, a.url(), "ada", nil)
	if err != nil {
		t.Fatal(err)
	}
	<-announcing
	w.write(func(row *shard.Row) { row.Owner, row.Next = b.id, "" })
	w.seen(a)
	w.seen(b)
	close(goOn)
	if got := next[protocol.Moved](ada); got.URL != b.url() {
		t.Errorf("the client was sent to %q, want the new owner %q", got.URL, b.url())
	}
	ada.closedWith(protocol.CloseMoved)
	connect(t, b.url(), "ada", nil)
}
