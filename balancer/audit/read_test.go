package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidegate/tidegate/balancer/audit"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/keys"
)

func TestTheLogIsReadToItsEndAndOfOneFleet(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	options := kafka.At(cluster.ListenAddrs()...)
	var out bytes.Buffer
	log, failed, stop := start(audit.Kafka(options, false), &out)
	other := of(1)
	other.Fleet = fleet.ID{Namespace: "shop", Name: "games"}
	for i := range uint64(5) {
		log.Record(of(i + 1))
		log.Record(other)
	}
	stop()
	if failed() != 0 {
		t.Fatal(out.String())
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	garbage := &kgo.Record{Topic: keys.AuditTopic, Key: []byte(chat.String()), Value: []byte("{")}
	if err := client.ProduceSync(t.Context(), garbage).FirstErr(); err != nil {
		t.Fatal(err)
	}
	read := func(since time.Time) (got []uint64, bad int, err error) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		bad, err = audit.Read(ctx, options, chat, since, func(d decision.Decision) error {
			got = append(got, d.Sequence)
			return nil
		})
		return got, bad, err
	}
	if got, bad, err := read(time.Now().Add(-time.Hour)); err != nil || bad != 1 || fmt.Sprint(got) != "[1 2 3 4 5]" {
		t.Errorf("read %v, %d bad, %v: want the fleet's five in order, and one that is none", got, bad, err)
	}
	if got, bad, err := read(time.Now().Add(time.Hour)); err != nil || bad != 0 || len(got) != 0 {
		t.Errorf("of the future %v are read, %d bad, %v", got, bad, err)
	}
	enough := errors.New("enough")
	if _, err := audit.Read(t.Context(), options, chat, time.Now().Add(-time.Hour), func(decision.Decision) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("the reader's own error is %v", err)
	}
}

func TestALogThatIsNotThereIsNamed(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	_, err = audit.Read(t.Context(), kafka.At(cluster.ListenAddrs()...), chat, time.Now(), nil)
	if err == nil || !strings.Contains(err.Error(), keys.AuditTopic) {
		t.Errorf("error %v, want one that names the topic", err)
	}
}
