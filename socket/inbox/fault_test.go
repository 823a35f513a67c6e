package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/kafka/kafkatest"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/inbox"
)

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
