package outbox_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/kafka/kafkatest"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, kafkatest.Background()) }

func open(tb testing.TB, o kafka.Options, topic string, change func(*outbox.Config)) *outbox.Outbox {
	tb.Helper()
	config := outbox.Config{Kafka: o, Topic: topic, Timeout: 2 * time.Second, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&config)
	}
	box, err := outbox.New(config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(box.Close)
	return box
}

// values reads a whole shard.
func values(tb testing.TB, fake *kafkatest.Fake, id shard.ID) []string {
	tb.Helper()
	config, err := fake.Options.Lookup()
	if err != nil {
		tb.Fatal(err)
	}
	client, err := sarama.NewClient(fake.Options.Brokers, config)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	end, err := client.GetOffset(fake.Inbox.Topic, int32(id), sarama.OffsetNewest)
	if err != nil {
		tb.Fatal(err)
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = consumer.Close() }()
	var got []string
	if end == 0 {
		return got
	}
	partition, err := consumer.ConsumePartition(fake.Inbox.Topic, int32(id), 0)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = partition.Close() }()
	for m := range partition.Messages() {
		got = append(got, string(m.Value))
		if m.Offset == end-1 {
			break
		}
	}
	return got
}

// result is what done said.
type result struct {
	id      string
	receipt outbox.Receipt
	err     error
}

// send sends messages of one sender and returns where their results arrive.
func send(box *outbox.Outbox, id shard.ID, sender string, ids ...string) <-chan result {
	results := make(chan result, len(ids))
	for _, message := range ids {
		box.Send(outbox.Message{Sender: sender, ID: message, Shard: id, Key: "to", Value: []byte(message)},
			func(r outbox.Receipt, err error) { results <- result{message, r, err} })
	}
	return results
}

func next(tb testing.TB, results <-chan result) result {
	tb.Helper()
	select {
	case r := <-results:
		return r
	case <-time.After(20 * time.Second):
		tb.Fatal("a message never heard what became of it")
		return result{}
	}
}

func TestMessagesStandInTheLogInTheOrderOfTheirSender(t *testing.T) {
	fake := kafkatest.Start(t, 2, 4, time.Minute)
	box := open(t, fake.Options, fake.Inbox.Topic, nil)
	results := send(box, 2, "a", "1", "2", "3", "4", "5")
	last := int64(-1)
	for i := range 5 {
		r := next(t, results)
		if r.err != nil || r.id != strconv.Itoa(i+1) {
			t.Fatalf("result %d is of %s, %v", i, r.id, r.err)
		}
		if r.receipt.Offset <= last || r.receipt.At.IsZero() {
			t.Fatalf("receipt %+v after offset %d", r.receipt, last)
		}
		last = r.receipt.Offset
	}
	if got := fmt.Sprint(values(t, fake, 2)); got != "[1 2 3 4 5]" {
		t.Fatalf("the log holds %s", got)
	}
	if stats := box.Stats(); stats.Accepted != 5 || stats.Waiting != 0 || stats.Bytes != 0 || stats.Flying != 0 {
		t.Fatalf("after everything was accepted the outbox says %+v", stats)
	}
}

func TestARefusedWriteFailsItsQueueAndNothingLaterIsWritten(t *testing.T) {
	fake := kafkatest.Start(t, 1, 2, time.Minute)
	box := open(t, fake.Options, fake.Inbox.Topic, nil)
	if r := next(t, send(box, 0, "a", "0")); r.err != nil {
		t.Fatal(r.err)
	}
	stop := fake.Answer(kmsg.Produce, func(r kmsg.Request) (kmsg.Response, error, bool) {
		return kafkatest.RefuseProduce(r, kerr.MessageTooLarge.Code), nil, true
	})
	results := send(box, 0, "a", "1", "2", "3")
	for _, id := range []string{"1", "2", "3"} {
		if r := next(t, results); r.err == nil || r.id != id {
			t.Fatalf("got %s, %v: want %s to fail", r.id, r.err, id)
		}
	}
	stop()
	if r := next(t, send(box, 0, "a", "4")); !errors.Is(r.err, outbox.ErrHeld) {
		t.Fatalf("4 came before 1 came again, and got %v", r.err)
	}
	results = send(box, 0, "a", "1", "2", "3", "4")
	for range 4 {
		if r := next(t, results); r.err != nil {
			t.Fatalf("%s failed after the broker was well again: %v", r.id, r.err)
		}
	}
	if got := fmt.Sprint(values(t, fake, 0)); got != "[0 1 2 3 4]" {
		t.Fatalf("the log holds %s", got)
	}
}

func TestEveryMessageHearsOnceAlsoWhenTheOutboxCloses(t *testing.T) {
	fake := kafkatest.Start(t, 1, 4, time.Minute)
	box := open(t, fake.Options, fake.Inbox.Topic, func(c *outbox.Config) { c.MaxPerSender = 20 })
	const senders, each = 20, 50
	var heard [senders * each]atomic.Int32
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for m := range each {
				box.Send(outbox.Message{Sender: strconv.Itoa(s), ID: strconv.Itoa(m), Shard: shard.ID(s % 4), Value: []byte("x")},
					func(outbox.Receipt, error) { heard[s*each+m].Add(1) })
				if s == 0 && m == each/2 {
					go box.Close()
				}
			}
		})
	}
	wg.Wait()
	box.Close()
	for i := range heard {
		if times := heard[i].Load(); times != 1 {
			t.Fatalf("message %d heard %d times", i, times)
		}
	}
	stats := box.Stats()
	if total := stats.Accepted + stats.Failed + stats.Refused; total != senders*each {
		t.Fatalf("the counts of %+v add up to %d of %d", stats, total, senders*each)
	}
}

func TestAnOutboxThatCannotWorkIsNotMade(t *testing.T) {
	for name, config := range map[string]outbox.Config{
		"no broker": {Topic: "t", Logger: slog.New(slog.DiscardHandler)},
		"no topic":  {Kafka: kafka.At("127.0.0.1:1"), Logger: slog.New(slog.DiscardHandler)},
	} {
		if _, err := outbox.New(config); err == nil {
			t.Errorf("an outbox was made with %s", name)
		}
	}
}

func BenchmarkSend(b *testing.B) {
	fake := kafkatest.Start(b, 1, 16, time.Minute)
	box := open(b, fake.Options, fake.Inbox.Topic, nil)
	const senders = 512
	free := make(chan int, senders)
	for s := range senders {
		free <- s
	}
	names := make([]string, senders)
	for s := range names {
		names[s] = fmt.Sprint("sender-", s)
	}
	value := make([]byte, 128)
	b.ReportAllocs()
	for b.Loop() {
		s := <-free
		box.Send(outbox.Message{Sender: names[s], ID: "m", Shard: shard.ID(s % 16), Key: "to", Value: value},
			func(_ outbox.Receipt, err error) {
				if err != nil {
					b.Error(err)
				}
				free <- s
			})
	}
	for range senders {
		<-free // what is still under way must not outlive the outbox
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}
