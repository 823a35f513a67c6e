package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
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

func TestASessionGoesOnAtAnotherNode(t *testing.T) {
	fake := kafkatest.Start(t, 1, shards, window)
	one := start(t, fake, "node-1", nil)
	one.serve(t, every()...)
	var a app
	sub, _ := one.attach(t, "alice", inbox.None, &a)
	one.message(t, "alice", "1")
	offset := one.message(t, "alice", "2")
	a.gets(t, "1", "2")
	sub.Detach()
	one.message(t, "alice", "3")
	two := start(t, fake, "node-2", nil)
	two.serve(t, every()...)
	one.message(t, "alice", "4")
	var again app
	if _, begins := two.attach(t, "alice", offset, &again); !begins.Resumed || begins.From != offset {
		t.Fatalf("the session starts at %+v: want it resumed at %d", begins, offset)
	}
	two.message(t, "alice", "5")
	again.gets(t, "3", "4", "5")
	if got := a.ids(); len(got) != 2 {
		t.Fatalf("the detached session got %q", got)
	}
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

// backdate writes messages with times of their own, as a broker's clock would have stamped them.
func backdate(t *testing.T, fake *kafkatest.Fake, to string, ages map[string]time.Duration, order ...string) {
	t.Helper()
	config, err := fake.Options.Producer()
	if err != nil {
		t.Fatal(err)
	}
	producer, err := sarama.NewSyncProducer(fake.Options.Brokers, config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = producer.Close() }()
	for _, id := range order {
		value, err := record.Message{From: "sender", ID: id, To: to, Payload: []byte("1")}.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = producer.SendMessage(&sarama.ProducerMessage{
			Topic: fake.Inbox.Topic, Partition: int32(shard.Of(to, shards)), Key: sarama.StringEncoder(to),
			Value: sarama.ByteEncoder(value), Timestamp: time.Now().Add(-ages[id]),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatIsOlderThanTheWindowIsSaidNotHidden(t *testing.T) {
	fake := kafkatest.Start(t, 1, shards, window)
	backdate(t, fake, "alice", map[string]time.Duration{"ancient": time.Hour, "old": 2 * window, "recent": window / 2}, "ancient", "old", "recent")
	n := start(t, fake, "node-1", nil)
	n.serve(t, every()...)
	tests := map[string]struct {
		from    int64
		resumed bool
		want    []string
	}{
		"a newcomer":                         {inbox.None, false, []string{"recent"}},
		"one who missed an ancient message":  {0, false, []string{"recent"}},
		"one who has all before the window":  {1, true, []string{"recent"}},
		"one who has everything":             {2, true, nil},
		"one from a log that is no more":     {1000, false, []string{"recent"}},
		"one whose offset is far beyond any": {1 << 60, false, []string{"recent"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var a app
			sub, begins := n.attach(t, "alice", test.from, &a)
			defer sub.Detach()
			if begins.Resumed != test.resumed {
				t.Fatalf("resumed: %v: want %v", begins.Resumed, test.resumed)
			}
			a.gets(t, test.want...)
		})
	}
}

func TestALateResumeReadsTheLogAndThenGoesOnLive(t *testing.T) {
	fake := kafkatest.Start(t, 2, shards, window)
	n := start(t, fake, "node-1", func(c *inbox.Config) { c.MaxBytes = 2000 })
	n.serve(t, every()...)
	for i := 1; i <= 300; i++ {
		n.message(t, "alice", fmt.Sprint("a", i))
		if i%3 == 0 {
			n.message(t, "alice", fmt.Sprint("a", i)) // a sender that did not hear of the acceptance
		}
	}
	var early, late, slow app
	paced := &pacedApp{room: func() int { return 1 }}
	from := int64(0)
	n.attach(t, "alice", from, &early)
	n.attach(t, "alice", inbox.None, &late)
	n.attach(t, "alice", inbox.None, paced)
	n.attach(t, "alice", inbox.None, &slow)
	for i := 301; i <= 320; i++ {
		n.message(t, "alice", fmt.Sprint("a", i))
	}
	late.gets(t, numbered("a", 1, 320)...)
	slow.gets(t, numbered("a", 1, 320)...)
	paced.gets(t, numbered("a", 1, 320)...)
	want := numbered("a", 1, 320)
	if shardFirst := late.got[0].Offset; shardFirst <= from {
		want = want[1:]
	}
	early.gets(t, want...)
}

func TestACatchUpWaitsForRoomAndALiveMessageDoesNot(t *testing.T) {
	fake := kafkatest.Start(t, 1, shards, window)
	n := start(t, fake, "node-1", nil)
	n.serve(t, every()...)
	var last int64
	for i := 1; i <= 5; i++ {
		last = n.message(t, "alice", fmt.Sprint("a", i))
	}
	eventually(t, "the node has read them", func() bool { return n.End(shard.Of("alice", shards)) >= last })
	var room, asked atomic.Int64
	room.Store(2)
	a := &pacedApp{room: func() int { asked.Add(1); return int(room.Load()) }}
	a.hook = func(inbox.Message) { room.Add(-1) }
	n.attach(t, "alice", inbox.None, a)
	a.gets(t, "a1", "a2")
	before := asked.Load()
	eventually(t, "the catch-up asks again", func() bool { return asked.Load() > before+2 })
	a.gets(t, "a1", "a2")
	room.Store(100)
	a.gets(t, numbered("a", 1, 5)...)
	eventually(t, "the subscription is live", func() bool { n.message(t, "alice", "x"); return len(a.ids()) > 5 })
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

func TestFetchesThatFailCostNoMessage(t *testing.T) {
	tests := map[string]func(r *kmsg.FetchRequest) (kmsg.Response, error){
		"the broker closes the connection": func(*kmsg.FetchRequest) (kmsg.Response, error) { return nil, errors.New("gone") },
		"the broker is not the leader": func(r *kmsg.FetchRequest) (kmsg.Response, error) {
			return refuseFetch(r, kerr.NotLeaderForPartition.Code), nil
		},
		"the broker has an error of its own": func(r *kmsg.FetchRequest) (kmsg.Response, error) {
			return refuseFetch(r, kerr.UnknownServerError.Code), nil
		},
		"the broker never answers": func(*kmsg.FetchRequest) (kmsg.Response, error) { return nil, nil },
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			fake := kafkatest.Start(t, 1, shards, window)
			n := start(t, fake, "node-1", nil)
			n.serve(t, every()...)
			var a app
			n.attach(t, "alice", inbox.None, &a)
			n.message(t, "alice", "a1")
			var faults atomic.Int64
			stop := fake.Answer(kmsg.Fetch, func(r kmsg.Request) (kmsg.Response, error, bool) {
				faults.Add(1)
				response, err := fault(r.(*kmsg.FetchRequest))
				return response, err, true
			})
			for i := 2; i <= 5; i++ {
				n.message(t, "alice", fmt.Sprint("a", i))
			}
			eventually(t, "fetches fail", func() bool { return faults.Load() > 0 })
			stop()
			for i := 6; i <= 8; i++ {
				n.message(t, "alice", fmt.Sprint("a", i))
			}
			a.gets(t, numbered("a", 1, 8)...)
			if !n.Ready(shard.Of("alice", shards)) || len(n.lost()) != 0 {
				t.Fatal("a fault that passed took the shard from its clients")
			}
		})
	}
}

func refuseFetch(r *kmsg.FetchRequest, code int16) kmsg.Response {
	response := r.ResponseKind().(*kmsg.FetchResponse)
	for _, topic := range r.Topics {
		answered := kmsg.NewFetchResponseTopic()
		answered.Topic = topic.Topic
		for _, partition := range topic.Partitions {
			p := kmsg.NewFetchResponseTopicPartition()
			p.Partition, p.ErrorCode, p.RecordBatches = partition.Partition, code, []byte{}
			answered.Partitions = append(answered.Partitions, p)
		}
		response.Topics = append(response.Topics, answered)
	}
	return response
}

func TestLeadersMoveUnderTheTraffic(t *testing.T) {
	fake := kafkatest.Start(t, 3, shards, window)
	n := start(t, fake, "node-1", nil)
	n.serve(t, every()...)
	var a app
	n.attach(t, "alice", inbox.None, &a)
	for i := range 30 {
		if i%5 == 0 {
			fake.ShufflePartitionLeaders()
		}
		n.message(t, "alice", fmt.Sprint("a", i+1))
	}
	a.gets(t, numbered("a", 1, 30)...)
}

func TestANodeThatIsBehindResumesWhoIsAhead(t *testing.T) {
	fake := kafkatest.Start(t, 1, shards, window)
	n := start(t, fake, "node-1", nil)
	n.serve(t, every()...)
	ahead := n.message(t, "alice", "0")
	eventually(t, "the node has read the first", func() bool { return n.End(shard.Of("alice", shards)) >= ahead })
	stop := fake.Answer(kmsg.Fetch, func(kmsg.Request) (kmsg.Response, error, bool) { return nil, errors.New("cut"), true })
	n.message(t, "alice", "1")
	ahead = n.message(t, "alice", "2") // the client has these from another owner
	n.message(t, "alice", "3")
	eventually(t, "the node falls behind", func() bool { return n.End(shard.Of("alice", shards)) < ahead })
	var a app
	_, begins := n.attach(t, "alice", ahead, &a)
	if !begins.Resumed || begins.From != ahead {
		t.Fatalf("the session starts at %+v: want it resumed at %d, which the log holds", begins, ahead)
	}
	stop()
	n.message(t, "alice", "4")
	a.gets(t, "3", "4")
}

func TestATopicMadeAnewStartsItsClientsAnew(t *testing.T) {
	fake := kafkatest.Start(t, 1, shards, window)
	n := start(t, fake, "node-1", nil)
	n.serve(t, every()...)
	var a, b app
	n.attach(t, "alice", inbox.None, &a)
	var last int64
	for i := range 20 {
		last = n.message(t, "alice", fmt.Sprint("a", i+1))
	}
	a.gets(t, numbered("a", 1, 20)...)
	remake(t, fake)
	eventually(t, "alice is told to come again", func() bool { return len(n.lost()) == 1 })
	eventually(t, "the shard is ready again", func() bool { return n.Ready(shard.Of("alice", shards)) })
	if _, begins := n.attach(t, "alice", last, &b); begins.Resumed {
		t.Fatal("the client was told that it missed nothing, but the log was lost")
	}
	n.message(t, "alice", "b1")
	b.gets(t, "b1")
}

func remake(t *testing.T, fake *kafkatest.Fake) {
	t.Helper()
	config, err := fake.Options.Lookup()
	if err != nil {
		t.Fatal(err)
	}
	config.Metadata.Full = true
	admin, err := sarama.NewClusterAdmin(fake.Options.Brokers, config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if err := admin.DeleteTopic(fake.Inbox.Topic); err != nil {
		t.Fatal(err)
	}
	if _, _, err := kafka.EnsureInbox(context.Background(), fake.Options, kafkatest.Fleet(), kafka.InboxSpec{Shards: shards, Window: window}); err != nil {
		t.Fatal(err)
	}
}

func TestLogStartBeyondAReaderStartsItsClientsAnew(t *testing.T) {
	fake := kafkatest.Start(t, 1, shards, window)
	n := start(t, fake, "node-1", func(c *inbox.Config) { c.MaxBytes = 1 })
	n.serve(t, every()...)
	var last int64
	for i := range 20 {
		last = n.message(t, "alice", fmt.Sprint("a", i+1))
	}
	eventually(t, "the node has read them", func() bool { return n.End(shard.Of("alice", shards)) >= last })
	config, err := fake.Options.Lookup()
	if err != nil {
		t.Fatal(err)
	}
	config.Metadata.Full = true
	admin, err := sarama.NewClusterAdmin(fake.Options.Brokers, config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if err := admin.DeleteRecords(fake.Inbox.Topic, map[int32]int64{int32(shard.Of("alice", shards)): last - 5}); err != nil {
		t.Fatal(err)
	}
	var a, b app
	if _, begins := n.attach(t, "alice", last-15, &a); !begins.Resumed {
		t.Fatal("the node cannot know yet that the log lost messages")
	}
	eventually(t, "alice is told to come again", func() bool { return len(n.lost()) == 1 })
	if _, begins := n.attach(t, "alice", last-15, &b); begins.Resumed {
		t.Fatal("the client was told that it missed nothing, but the log lost messages")
	}
	b.gets(t, numbered("a", 15, 20)...)
}

func TestANodeStartsWhileKafkaIsAway(t *testing.T) {
	o := kafka.At(kafkatest.FreePort(t))
	quiet := slog.New(slog.DiscardHandler)
	n := &node{}
	i, err := inbox.New(inbox.Config{
		Kafka: o, Topic: "nowhere", Shards: shards, Window: window, Node: "node-1", Writer: failing{}, Events: n, Logger: quiet,
	})
	if err != nil {
		t.Fatalf("a node must start while Kafka is away: %v", err)
	}
	i.Serve(map[shard.ID]struct{}{0: {}})
	if i.Ready(0) {
		t.Fatal("a shard is ready without Kafka")
	}
	i.Close()
	i.Serve(map[shard.ID]struct{}{1: {}})
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
