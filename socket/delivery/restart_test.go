package delivery_test

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/kafka/kafkatest"
	"github.com/tidegate/tidegate/internal/record"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/inbox"
	"github.com/tidegate/tidegate/socket/outbox"
)

// TestKafkaGoesAwayAndComesBack: without Kafka messages are not accepted, sessions stay, and both come back by
// themselves with nothing lost.
func TestKafkaGoesAwayAndComesBack(t *testing.T) {
	address := kafkatest.FreePort(t)
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	boot := func() *kfake.Cluster {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.DataDir(data))
		if err != nil {
			t.Fatalf("start kfake: %v", err)
		}
		return cluster
	}
	cluster := boot()
	o := kafka.At(address)
	o.Timeout = time.Second
	topic, _, err := kafka.EnsureInbox(t.Context(), o, kafkatest.Fleet(), kafka.InboxSpec{Shards: shards, Window: window})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{}
	quiet := slog.New(slog.DiscardHandler)
	if n.box, err = outbox.New(outbox.Config{Kafka: o, Topic: topic.Topic, Timeout: 200 * time.Millisecond, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	defer n.box.Close()
	if n.inbox, err = inbox.New(inbox.Config{
		Kafka: o, Topic: topic.Topic, Shards: shards, Window: window, Node: "node", Writer: n.box, Events: n, Logger: quiet,
	}); err != nil {
		t.Fatal(err)
	}
	defer n.inbox.Close()
	n.inbox.Serve(all())
	id := shard.Of("alice", shards)
	eventually(t, "the shard is ready", func() bool { return n.inbox.Ready(id) })
	var got atomic.Int64
	sub, _, err := n.inbox.Attach("alice", inbox.None, sink{&got})
	if err != nil {
		t.Fatal(err)
	}
	sub.Begin()
	accepts := func(number int) bool {
		value, err := record.Message{From: "bob", ID: strconv.Itoa(number), To: "alice", Payload: []byte("1")}.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		told := make(chan error, 1)
		n.box.Send(outbox.Message{Sender: "bob", ID: strconv.Itoa(number), Shard: id, Key: "alice", Value: value},
			func(_ outbox.Receipt, err error) { told <- err })
		return <-told == nil
	}
	for number := range 3 {
		eventually(t, fmt.Sprint("message ", number, " is accepted"), func() bool { return accepts(number) })
	}
	for outage := range 2 {
		number := 3 + outage
		cluster.Close()
		if accepts(number) {
			t.Fatal("a message was accepted without Kafka")
		}
		if !n.inbox.Ready(id) {
			t.Fatal("the node gave up a shard whose clients it still holds")
		}
		cluster = boot()
		eventually(t, fmt.Sprint("message ", number, " is accepted"), func() bool { return accepts(number) })
	}
	eventually(t, "every message arrives", func() bool { return got.Load() == 5 })
	cluster.Close()
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(settle)
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("it never came about that %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
