package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/kafka/kafkatest"
	"github.com/tidegate/tidegate/socket/outbox"
)

func TestALeaderChangeIsNotNoticed(t *testing.T) {
	fake := kafkatest.Start(t, 3, 2, time.Minute)
	box := open(t, fake.Options, fake.Inbox.Topic, nil)
	for round := range int32(4) {
		if err := fake.MoveTopicPartition(fake.Inbox.Topic, 1, round%3); err != nil {
			t.Fatal(err)
		}
		if r := next(t, send(box, 1, "a", strconv.Itoa(int(round)))); r.err != nil {
			t.Fatalf("round %d: %v", round, r.err)
		}
	}
	if got := fmt.Sprint(values(t, fake, 1)); got != "[0 1 2 3]" {
		t.Fatalf("the log holds %s", got)
	}
}

func TestAProducerThatKeepsFailingIsReplaced(t *testing.T) {
	fake := kafkatest.Start(t, 1, 1, time.Minute)
	box := open(t, fake.Options, fake.Inbox.Topic, nil)
	stop := fake.Answer(kmsg.Produce, func(r kmsg.Request) (kmsg.Response, error, bool) {
		return kafkatest.RefuseProduce(r, kerr.MessageTooLarge.Code), nil, true
	})
	deadline := time.After(20 * time.Second)
	for i := 0; box.Stats().Producers < 2; i++ {
		select {
		case <-deadline:
			t.Fatal("the producer was never replaced: its epochs end some day")
		default:
		}
		next(t, send(box, 0, fmt.Sprint("sender ", i), "m"))
	}
	stop()
	for i := 0; ; i++ {
		if r := next(t, send(box, 0, fmt.Sprint("late ", i), "m")); r.err == nil {
			return
		}
	}
}

func TestWithoutKafkaMessagesFailInTimeAndTheCallerNeverWaits(t *testing.T) {
	box := open(t, kafka.At(kafkatest.FreePort(t)), "nowhere", func(c *outbox.Config) { c.Timeout = 100 * time.Millisecond })
	results := send(box, 0, "a", "1", "2")
	for _, id := range []string{"1", "2"} {
		if r := next(t, results); r.id != id || !errors.Is(r.err, outbox.ErrDeadline) {
			t.Fatalf("got %s, %v: want %s, %v", r.id, r.err, id, outbox.ErrDeadline)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := box.Produce(ctx, 0, "", []byte("x")); !errors.Is(err, context.Canceled) {
		t.Fatalf("Produce went on after its context: %v", err)
	}
}

func TestABrokerThatDoesNotAnswerCostsTheDeadlineAndIsUsedAgain(t *testing.T) {
	fake := kafkatest.Start(t, 1, 1, time.Minute)
	box := open(t, fake.Options, fake.Inbox.Topic, func(c *outbox.Config) { c.Timeout = 300 * time.Millisecond })
	stop := fake.Answer(kmsg.Produce, func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, true })
	if r := next(t, send(box, 0, "a", "1")); !errors.Is(r.err, outbox.ErrDeadline) {
		t.Fatalf("got %v: want %v", r.err, outbox.ErrDeadline)
	}
	stop()
	for {
		if r := next(t, send(box, 0, "a", "1")); r.err == nil {
			break
		}
	}
}

func TestCloseReturnsAlthoughTheBrokerHangs(t *testing.T) {
	fake := kafkatest.Start(t, 1, 1, time.Minute)
	box := open(t, fake.Options, fake.Inbox.Topic, func(c *outbox.Config) { c.Timeout = 100 * time.Millisecond })
	stop := fake.Answer(kmsg.Produce, func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, true })
	defer stop()
	results := send(box, 0, "a", "1", "2")
	box.Close()
	for range 2 {
		if r := next(t, results); r.err == nil {
			t.Fatal("a message was accepted that the broker never confirmed")
		}
	}
}
