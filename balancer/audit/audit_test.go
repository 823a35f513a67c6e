package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/balancer/audit"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/metric"
)

func TestMain(m *testing.M) {
	// sarama's metrics meter their rates on one goroutine that lives as long as the process.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

var chat = fleet.ID{Namespace: "shop", Name: "chat"}

func of(sequence uint64) decision.Decision {
	return decision.Decision{Fleet: chat, Sequence: sequence, Desired: int(sequence), ExpiresAt: time.UnixMilli(1)}
}

// producer keeps what is sent, and fails or hangs when told to.
type producer struct {
	mu   sync.Mutex
	sent []uint64
	down bool
}

func (p *producer) SendMessage(m *sarama.ProducerMessage) (int32, int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return 0, 0, errors.New("no broker")
	}
	body, err := m.Value.Encode()
	if err != nil {
		return 0, 0, err
	}
	d, err := decision.Decode(body)
	if err != nil {
		return 0, 0, err
	}
	key, err := m.Key.Encode()
	if err != nil || m.Topic != keys.AuditTopic || string(key) != d.Fleet.String() {
		return 0, 0, fmt.Errorf("topic %q, key %q (%w)", m.Topic, key, err)
	}
	p.sent = append(p.sent, d.Sequence)
	return 0, 0, nil
}

func (p *producer) Close() error { return nil }

func (p *producer) set(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

func (p *producer) all() []uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]uint64(nil), p.sent...)
}

// start runs a log until stop, which waits for it.
func start(open func(context.Context) (audit.Producer, error), out *bytes.Buffer) (log *audit.Log, failed func() float64, stop func()) {
	registry := prometheus.NewRegistry()
	log = audit.New(open, registry, slog.New(slog.NewTextHandler(out, nil)))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); log.Run(ctx) }()
	failed = func() float64 {
		families, err := registry.Gather()
		if err != nil || len(families) != 1 || families[0].GetName() != metric.BalancerAuditFailures {
			panic(fmt.Sprint("the registry holds ", families, err))
		}
		return families[0].GetMetric()[0].GetCounter().GetValue()
	}
	return log, failed, func() { cancel(); <-done }
}

func TestDecisionsAreRecordedInOrderAcrossAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var kafkaAway atomic.Bool
		kafkaAway.Store(true)
		p := &producer{}
		log, failed, stop := start(func(context.Context) (audit.Producer, error) {
			if kafkaAway.Load() {
				return nil, errors.New("no broker")
			}
			return p, nil
		}, &out)
		for i := range uint64(3) {
			log.Record(of(i + 1))
		}
		<-time.After(10 * time.Second)
		synctest.Wait()
		kafkaAway.Store(false)
		<-time.After(2 * time.Second)
		p.set(true)
		log.Record(of(4))
		<-time.After(5 * time.Second)
		p.set(false)
		<-time.After(2 * time.Second)
		stop()
		if got := p.all(); fmt.Sprint(got) != "[1 2 3 4]" {
			t.Errorf("recorded %v, want every decision once and in order", got)
		}
		if failed() < 2 {
			t.Errorf("%v failures counted, want the tries of two outages", failed())
		}
		if n := strings.Count(out.String(), "decisions are not recorded"); n != 2 {
			t.Errorf("two outages were logged %d times:\n%s", n, out.String())
		}
	})
}

func TestRecordNeverBlocksWhileKafkaHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		release := make(chan struct{})
		log, failed, stop := start(func(context.Context) (audit.Producer, error) {
			<-release
			return nil, errors.New("no broker")
		}, &out)
		began := time.Now()
		for i := range uint64(5000) {
			log.Record(of(i + 1))
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("deciding waited %s for the record", waited)
		}
		if failed() < 3000 {
			t.Errorf("%v decisions dropped and counted, want all that did not fit", failed())
		}
		close(release)
		stop()
	})
}

func TestWhatWaitsIsWrittenAtShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := &producer{}
		gate := make(chan struct{})
		log, _, stop := start(func(context.Context) (audit.Producer, error) { <-gate; return p, nil }, &out)
		for i := range uint64(5) {
			log.Record(of(i + 1))
		}
		close(gate)
		stop()
		if got := p.all(); len(got) != 5 {
			t.Errorf("recorded %v before the process ended, want all five", got)
		}
	})
}

func TestDecisionsReachKafkaKeyedByFleet(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	var out bytes.Buffer
	log, failed, stop := start(audit.Kafka(kafka.At(cluster.ListenAddrs()...), false), &out)
	log.Record(of(1))
	log.Record(of(2))
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics(keys.AuditTopic), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var got []uint64
	for len(got) < 2 && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			d, err := decision.Decode(r.Value)
			if err != nil || string(r.Key) != chat.String() {
				t.Errorf("record %q: %v", r.Key, err)
			}
			got = append(got, d.Sequence)
		})
	}
	stop()
	if fmt.Sprint(got) != "[1 2]" || failed() != 0 {
		t.Errorf("Kafka holds %v with %v failures, want both decisions\n%s", got, failed(), out.String())
	}
}
