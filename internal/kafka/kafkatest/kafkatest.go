// Package kafkatest gives tests a Kafka inside the process, with an inbox in it, and ways to break it.
package kafkatest

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/kafka"
)

// Fleet is the fleet whose inbox a Fake holds.
func Fleet() fleet.ID { return fleet.ID{Namespace: "test", Name: "fleet"} }

// Background lets goleak pass the one goroutine that sarama's metrics library starts for the whole process.
func Background() goleak.Option {
	return goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick")
}

// Fake is a Kafka inside the process.
type Fake struct {
	*kfake.Cluster
	Options kafka.Options
	Inbox   kafka.Inbox
}

// Start runs a Kafka of so many brokers and makes an inbox of so many shards and that window in it. It ends with the test.
func Start(tb testing.TB, brokers, shards int, window time.Duration, options ...kfake.Opt) *Fake {
	tb.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(brokers)}, options...)...)
	if err != nil {
		tb.Fatalf("start kfake: %v", err)
	}
	tb.Cleanup(cluster.Close)
	f := &Fake{Cluster: cluster, Options: kafka.At(cluster.ListenAddrs()...)}
	f.Options.Timeout = time.Second
	f.Inbox, _, err = kafka.EnsureInbox(context.Background(), f.Options, Fleet(), kafka.InboxSpec{Shards: shards, Window: window})
	if err != nil {
		tb.Fatalf("make an inbox: %v", err)
	}
	return f
}

// Answer lets the fake answer requests of a kind by a test's rule until the returned function is called.
func (f *Fake) Answer(key kmsg.Key, rule func(kmsg.Request) (kmsg.Response, error, bool)) (stop func()) {
	stopped := make(chan struct{})
	f.ControlKey(key.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-stopped:
			f.DropControl()
			return nil, nil, false
		default:
			f.KeepControl()
			return rule(r)
		}
	})
	return func() { close(stopped) }
}

// RefuseProduce answers a write with an error code for every partition.
func RefuseProduce(r kmsg.Request, code int16) kmsg.Response {
	request := r.(*kmsg.ProduceRequest)
	response := request.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range request.Topics {
		answered := kmsg.NewProduceResponseTopic()
		answered.Topic, answered.TopicID = topic.Topic, topic.TopicID
		for _, partition := range topic.Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.ErrorCode, p.BaseOffset = partition.Partition, code, -1
			answered.Partitions = append(answered.Partitions, p)
		}
		response.Topics = append(response.Topics, answered)
	}
	return response
}

// FreePort is a port on which nothing listens now.
func FreePort(tb testing.TB) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
}
