package inbox_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/kafka/kafkatest"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/record"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/inbox"
)

func TestAClientGetsItsMessagesAndNobodyElses(t *testing.T) {
	fake := kafkatest.Start(t, 2, shards, window)
	n := start(t, fake, "node-1", nil)
	n.serve(t, every()...)
	var alice, bob app
	sub, begins := n.attach(t, "alice", inbox.None, &alice)
	n.attach(t, "bob", inbox.None, &bob)
	if begins.Resumed {
		t.Fatal("a newcomer was told that it resumes")
	}
	var last int64
	for i := range 3 {
		last = n.message(t, "alice", fmt.Sprint("a", i))
		n.message(t, "bob", fmt.Sprint("b", i))
	}
	alice.gets(t, "a0", "a1", "a2")
	bob.gets(t, "b0", "b1", "b2")
	eventually(t, "the position reaches the last message", func() bool { return sub.Position() >= last })
	if m := alice.got[0]; m.From != "sender" || string(m.Payload) != `"a0"` || m.At.IsZero() || m.Fetched.IsZero() {
		t.Fatalf("the message lost a part on its way: %+v", m)
	}
}

func TestNothingIsDeliveredBeforeBegin(t *testing.T) {
	fake := kafkatest.Start(t, 1, shards, window)
	n := start(t, fake, "node-1", nil)
	n.serve(t, every()...)
	var a app
	sub, _, err := n.Attach("alice", inbox.None, &a)
	if err != nil {
		t.Fatal(err)
	}
	last := n.message(t, "alice", "1")
	eventually(t, "the node has read the message", func() bool { return n.End(sub.Shard()) >= last })
	if got := a.ids(); len(got) > 0 {
		t.Fatalf("the client got %q before its welcome", got)
	}
	if sub.Position() >= last {
		t.Fatal("a pong would move the client past a message that it has not got")
	}
	sub.Begin()
	a.gets(t, "1")
}

func TestARepeatedMessageIsDeliveredOnce(t *testing.T) {
	fake := kafkatest.Start(t, 1, shards, window)
	n := start(t, fake, "node-1", nil)
	n.serve(t, every()...)
	var a app
	n.attach(t, "alice", inbox.None, &a)
	for _, id := range []string{"1", "2", "1", "2", "3"} {
		n.message(t, "alice", id)
	}
	a.gets(t, "1", "2", "3")
	late := start(t, fake, "node-2", nil)
	late.serve(t, every()...)
	var b app
	late.attach(t, "alice", inbox.None, &b)
	b.gets(t, "1", "2", "3")
	id := shard.Of("alice", shards)
	for _, s := range n.Stats() {
		if s.ID == id && (s.Repeats != 2 || s.Delivered != 3 || s.Subscriptions != 1 || !s.Ready) {
			t.Fatalf("the shard says %+v: want 2 repeats and 3 delivered", s)
		}
	}
}

func TestASubscriptionGetsNothingAfterDetach(t *testing.T) {
	fake := kafkatest.Start(t, 1, shards, window)
	n := start(t, fake, "node-1", nil)
	n.serve(t, every()...)
	var sub *inbox.Subscription
	a := &app{}
	a.hook = func(m inbox.Message) {
		if m.ID == "2" {
			sub.Detach()
		}
	}
	var begins inbox.Start
	var err error
	sub, begins, err = n.Attach("alice", inbox.None, a)
	if err != nil || begins.Resumed {
		t.Fatal(begins, err)
	}
	sub.Begin()
	var other app
	n.attach(t, "alice", inbox.None, &other)
	for i := range 4 {
		n.message(t, "alice", strconv.Itoa(i+1))
	}
	other.gets(t, "1", "2", "3", "4")
	a.gets(t, "1", "2")
	sub.Detach()
}

func TestAShardThatIsServedNoMoreEndsItsSubscriptions(t *testing.T) {
	fake := kafkatest.Start(t, 1, shards, window)
	n := start(t, fake, "node-1", nil)
	n.serve(t, every()...)
	id := shard.Of("alice", shards)
	var a, b app
	sub, _ := n.attach(t, "alice", inbox.None, &a)
	n.Serve(map[shard.ID]struct{}{(id + 1) % shards: {}})
	if lost := n.lost(); len(lost) != 1 || lost[0] != sub || lost[0].Client() != "alice" || lost[0].Receiver() != inbox.Receiver(&a) {
		t.Fatalf("the node heard of %d lost subscriptions: want alice's", len(lost))
	}
	if n.Ready(id) || n.End(id) != inbox.None || len(n.Stats()) != 1 {
		t.Fatal("a shard that is not served is ready")
	}
	if _, _, err := n.Attach("alice", inbox.None, &b); !errors.Is(err, inbox.ErrNotReady) {
		t.Fatalf("got %v: want %v", err, inbox.ErrNotReady)
	}
	n.message(t, "alice", "1")
	n.serve(t, every()...)
	n.attach(t, "alice", inbox.None, &b)
	b.gets(t, "1")
	if got := a.ids(); len(got) != 0 {
		t.Fatalf("the ended subscription got %q", got)
	}
}

func TestServeManyTimesIsServeOnce(t *testing.T) {
	fake := kafkatest.Start(t, 1, shards, window)
	n := start(t, fake, "node-1", nil)
	n.serve(t, every()...)
	var a app
	n.attach(t, "alice", inbox.None, &a)
	for range 10 {
		n.serve(t, every()...)
	}
	n.Serve(map[shard.ID]struct{}{0: {}, 1: {}, 2: {}, 3: {}, 99: {}, -1: {}})
	if len(n.lost()) != 0 || len(n.Stats()) != shards {
		t.Fatalf("%d subscriptions ended, %d shards are read", len(n.lost()), len(n.Stats()))
	}
	n.message(t, "alice", "1")
	a.gets(t, "1")
}

func (n *node) session(t *testing.T, client string, epoch uint64) {
	t.Helper()
	value, err := record.Session{Client: client, Session: "s", Epoch: epoch, Node: "node-9"}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	n.write(t, client, value)
}

func TestTheLastSessionInTheLogIsHeardOf(t *testing.T) {
	fake := kafkatest.Start(t, 1, shards, window)
	writer := start(t, fake, "writer", nil)
	writer.session(t, "alice", 1)
	writer.session(t, "alice", 3)
	writer.session(t, "alice", 2)
	n := start(t, fake, "node-1", nil)
	n.serve(t, every()...)
	if got := n.heard(); !slices.Equal(got, []string{"alice/2"}) {
		t.Fatalf("after the warm-up the node heard of %q: want the last in the log only", got)
	}
	writer.session(t, "alice", 7)
	writer.session(t, "alice", 8)
	eventually(t, "the node hears of the new sessions", func() bool {
		return slices.Equal(n.heard(), []string{"alice/2", "alice/7", "alice/8"})
	})
}

func TestAValueThatNoNodeWroteIsPassedOver(t *testing.T) {
	fake := kafkatest.Start(t, 1, shards, window)
	n := start(t, fake, "node-1", nil)
	n.write(t, "alice", []byte("junk"))
	n.serve(t, every()...)
	var a app
	n.attach(t, "alice", inbox.None, &a)
	n.write(t, "alice", []byte{record.Version, 77})
	n.message(t, "alice", "1")
	a.gets(t, "1")
	if s := n.Stats()[shard.Of("alice", shards)]; s.Bad != 2 {
		t.Fatalf("the shard counts %d bad values: want 2", s.Bad)
	}
}

func TestAnInboxThatCannotWorkIsNotMade(t *testing.T) {
	good := func() inbox.Config {
		return inbox.Config{
			Kafka: kafka.At("127.0.0.1:1"), Topic: "t", Shards: 1, Window: window, Node: "n", Writer: failing{}, Events: &node{}, Logger: slog.New(slog.DiscardHandler),
		}
	}
	for name, change := range map[string]func(*inbox.Config){
		"no broker": func(c *inbox.Config) { c.Kafka.Brokers = nil },
		"no topic":  func(c *inbox.Config) { c.Topic = "" },
		"no shard":  func(c *inbox.Config) { c.Shards = 0 },
	} {
		c := good()
		change(&c)
		if i, err := inbox.New(c); err == nil {
			i.Close()
			t.Errorf("an inbox was made with %s", name)
		}
	}
}

func TestProgressIsCommittedForWhoeverWatches(t *testing.T) {
	fake := kafkatest.Start(t, 1, shards, window)
	group := keys.InboxGroup(kafkatest.Fleet())
	var committed atomic.Pointer[string]
	stop := fake.Answer(kmsg.OffsetCommit, func(r kmsg.Request) (kmsg.Response, error, bool) {
		for _, topic := range r.(*kmsg.OffsetCommitRequest).Topics {
			text := fmt.Sprint(topic.Topic, " ", len(topic.Partitions))
			committed.Store(&text)
		}
		return nil, nil, false
	})
	defer stop()
	n := start(t, fake, "node-1", func(c *inbox.Config) { c.Group, c.CommitEvery = group, 20*time.Millisecond })
	n.serve(t, every()...)
	n.message(t, "alice", "1")
	eventually(t, "progress is committed", func() bool { return committed.Load() != nil })
	if got := *committed.Load(); !strings.HasPrefix(got, fake.Inbox.Topic) {
		t.Fatalf("committed %q", got)
	}
}
