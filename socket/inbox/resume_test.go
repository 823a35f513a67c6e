package inbox_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/internal/kafka/kafkatest"
	"github.com/tidegate/tidegate/internal/record"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/inbox"
)

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
