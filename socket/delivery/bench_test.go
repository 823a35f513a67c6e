package delivery_test

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/kafka/kafkatest"
	"github.com/tidegate/tidegate/internal/record"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/inbox"
	"github.com/tidegate/tidegate/socket/outbox"
)

// bench is a node that serves everything, with a count of what its clients got.
func bench(b *testing.B, count int) *node {
	b.Helper()
	fake := kafkatest.Start(b, 1, count, window)
	quiet := slog.New(slog.DiscardHandler)
	n := &node{}
	var err error
	n.box, err = outbox.New(outbox.Config{Kafka: fake.Options, Topic: fake.Inbox.Topic, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(n.box.Close)
	n.inbox, err = inbox.New(inbox.Config{
		Kafka: fake.Options, Topic: fake.Inbox.Topic, Shards: count, Window: window, Node: "node", Writer: n.box, Events: n, Logger: quiet,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(n.inbox.Close)
	return n
}

func (n *node) ready(b *testing.B, count int) {
	b.Helper()
	set := map[shard.ID]struct{}{}
	for id := range shard.ID(count) {
		set[id] = struct{}{}
	}
	n.inbox.Serve(set)
	for id := range set {
		for !n.inbox.Ready(id) {
			<-time.After(time.Millisecond)
		}
	}
}

// sink counts deliveries.
type sink struct{ got *atomic.Int64 }

func (s sink) Deliver(inbox.Message) { s.got.Add(1) }

// BenchmarkOutboxToInbox writes messages of many senders and takes them at their recipients, over an in-process Kafka.
func BenchmarkOutboxToInbox(b *testing.B) {
	const count, clients, window = 16, 512, 4
	n := bench(b, count)
	n.ready(b, count)
	var got atomic.Int64
	names := make([]string, clients)
	for i := range names {
		names[i] = fmt.Sprint("client-", i)
		sub, _, err := n.inbox.Attach(names[i], inbox.None, sink{&got})
		if err != nil {
			b.Fatal(err)
		}
		sub.Begin()
	}
	free := make(chan int, clients*window)
	for i := range clients * window {
		free <- i % clients
	}
	payload := make([]byte, 100)
	sent := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		s := <-free
		to := names[(s+1)%clients]
		sent++
		message := record.Message{From: names[s], ID: fmt.Sprint("m-", sent), To: to, Payload: payload}
		value, err := message.Append(nil)
		if err != nil {
			b.Fatal(err)
		}
		n.box.Send(outbox.Message{Sender: names[s], ID: message.ID, Shard: shard.Of(to, count), Key: to, Value: value}, func(_ outbox.Receipt, err error) {
			if err != nil {
				b.Error(err)
			}
			free <- s
		})
	}
	for got.Load() < sent {
		<-time.After(time.Millisecond)
	}
	b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "msgs/s")
}

// BenchmarkWarmUp makes 1,024 empty shards ready: what a first node does, and an upper bound of what moves cost.
func BenchmarkWarmUp(b *testing.B) {
	const count = 1024
	n := bench(b, count)
	for b.Loop() {
		n.ready(b, count)
		n.inbox.Serve(nil)
	}
	b.ReportMetric(count*float64(b.N)/b.Elapsed().Seconds(), "shards/s")
}
