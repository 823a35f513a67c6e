package kafka_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/kafka/kafkatest"
	"github.com/tidegate/tidegate/internal/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, kafkatest.Background()) }

func TestAWrongOptionIsNamed(t *testing.T) {
	tests := map[string]struct {
		change func(*kafka.Options)
		names  string
	}{
		"no broker":                  {func(o *kafka.Options) { o.Brokers = nil }, "--kafka-broker"},
		"a broker without a port":    {func(o *kafka.Options) { o.Brokers = []string{"kafka"} }, `"kafka"`},
		"a port out of range":        {func(o *kafka.Options) { o.Brokers = []string{"kafka:99999"} }, `"kafka:99999"`},
		"a client id with a space":   {func(o *kafka.Options) { o.ClientID = "a b" }, "--kafka-client-id"},
		"a certificate without key":  {func(o *kafka.Options) { o.CertFile = "cert.pem" }, "--kafka-tls-key"},
		"a timeout of nothing":       {func(o *kafka.Options) { o.Timeout = 0 }, "--kafka-timeout"},
		"an unknown mechanism":       {func(o *kafka.Options) { o.Mechanism = "GSSAPI" }, `"GSSAPI"`},
		"a user without a mechanism": {func(o *kafka.Options) { o.Username = "me" }, "--kafka-sasl-mechanism"},
		"a mechanism without a user": {func(o *kafka.Options) { o.Mechanism = "PLAIN" }, "--kafka-sasl-username"},
		"a password file that is not there": {func(o *kafka.Options) {
			o.Mechanism, o.Username, o.PasswordFile = "PLAIN", "me", "/nowhere/password"
		}, "--kafka-sasl-password-file"},
		"an authority file that is not there": {func(o *kafka.Options) { o.CAFile = "/nowhere/ca.pem" }, "--kafka-tls-ca"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := kafka.At("127.0.0.1:9092")
			test.change(&o)
			if _, err := o.Lookup(); err == nil || !strings.Contains(err.Error(), test.names) {
				t.Fatalf("got %v: want an error that names %s", err, test.names)
			}
		})
	}
}

func TestEachRoleGetsAConfigThatSaramaAccepts(t *testing.T) {
	o := kafka.At("127.0.0.1:9092")
	for name, role := range map[string]func() (*sarama.Config, error){"producer": o.Producer, "fetcher": o.Fetcher, "lookup": o.Lookup} {
		t.Run(name, func(t *testing.T) {
			config, err := role()
			if err != nil {
				t.Fatal(err)
			}
			if err := config.Validate(); err != nil {
				t.Fatalf("sarama refuses the config: %v", err)
			}
		})
	}
}

func TestAnInboxIsMadeOnceAndFoundAgain(t *testing.T) {
	fake := kafkatest.Start(t, 1, 8, 5*time.Minute)
	again, warnings, err := kafka.EnsureInbox(context.Background(), fake.Options, kafkatest.Fleet(), kafka.InboxSpec{Shards: 8, Window: 5 * time.Minute})
	if err != nil {
		t.Fatalf("the inbox that was just made is refused: %v", err)
	}
	if len(warnings) != 0 {
		t.Fatalf("the inbox that was just made earns warnings: %q", warnings)
	}
	if again != fake.Inbox {
		t.Fatalf("got %+v: want %+v, else offsets of before are taken for another topic's", again, fake.Inbox)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`).MatchString(again.TopicID) {
		t.Fatalf("topic id %q does not fit into an offset", again.TopicID)
	}
}

// topic makes the test fleet's inbox as an operator might have.
func topic(t *testing.T, o kafka.Options, partitions int32, settings map[string]string) {
	t.Helper()
	config, err := o.Lookup()
	if err != nil {
		t.Fatal(err)
	}
	config.Metadata.Full = true
	admin, err := sarama.NewClusterAdmin(o.Brokers, config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	entries := map[string]*string{}
	for key, value := range settings {
		entries[key] = &value
	}
	if err := admin.CreateTopic(keys.InboxTopic(kafkatest.Fleet()), &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: entries}, false); err != nil {
		t.Fatal(err)
	}
}

func TestAnInboxThatCouldLoseMessagesIsRefusedInWords(t *testing.T) {
	good := func() map[string]string {
		return map[string]string{
			"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete", "retention.ms": "600000",
			"segment.bytes": "67108864", "unclean.leader.election.enable": "false", "min.insync.replicas": "2",
		}
	}
	tests := map[string]struct {
		partitions int32
		change     func(map[string]string)
		production bool
		says       []string
		warns      string
	}{
		"another partition count":        {partitions: 9, says: []string{"9 partitions", "--shards=9"}},
		"the senders' clocks":            {change: func(s map[string]string) { s["message.timestamp.type"] = "CreateTime" }, says: []string{"message.timestamp.type", `"CreateTime"`, `set "LogAppendTime"`}},
		"compaction":                     {change: func(s map[string]string) { s["cleanup.policy"] = "compact" }, says: []string{"cleanup.policy", `"compact"`}},
		"a short retention":              {change: func(s map[string]string) { s["retention.ms"] = "599999" }, says: []string{"retention.ms=599999", "600000"}},
		"endless retention":              {change: func(s map[string]string) { s["retention.ms"] = "-1" }},
		"large segments":                 {change: func(s map[string]string) { s["segment.bytes"] = "1073741824" }, warns: "segment.bytes=1073741824"},
		"unclean election on a laptop":   {change: func(s map[string]string) { s["unclean.leader.election.enable"] = "true" }, warns: "unclean.leader.election.enable"},
		"unclean election in production": {production: true, change: func(s map[string]string) { s["unclean.leader.election.enable"] = "true" }, says: []string{"unclean.leader.election.enable", "replication factor of 1"}},
		"acks of one in production":      {production: true, change: func(s map[string]string) { s["min.insync.replicas"] = "1" }, says: []string{"min.insync.replicas of 1", "set min.insync.replicas=2"}},
		"two faults at once":             {partitions: 4, change: func(s map[string]string) { s["cleanup.policy"] = "compact" }, says: []string{"4 partitions", "cleanup.policy"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			o := kafka.At(cluster.ListenAddrs()...)
			settings := good()
			if test.change != nil {
				test.change(settings)
			}
			if test.partitions == 0 {
				test.partitions = 8
			}
			topic(t, o, test.partitions, settings)
			_, warnings, err := kafka.EnsureInbox(context.Background(), o, kafkatest.Fleet(), kafka.InboxSpec{Shards: 8, Window: 5 * time.Minute, Production: test.production})
			if (err != nil) != (test.says != nil) {
				t.Fatalf("got error %v: want one: %v", err, test.says != nil)
			}
			for _, says := range test.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("the error does not say %q: %v", says, err)
				}
			}
			if test.warns != "" && !strings.Contains(strings.Join(warnings, "\n"), test.warns) {
				t.Errorf("no warning says %q: %q", test.warns, warnings)
			}
		})
	}
}

func TestATopicMadeAnewHasAnotherID(t *testing.T) {
	fake := kafkatest.Start(t, 1, 4, time.Minute)
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
	again, _, err := kafka.EnsureInbox(context.Background(), fake.Options, kafkatest.Fleet(), kafka.InboxSpec{Shards: 4, Window: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if again.TopicID == fake.Inbox.TopicID {
		t.Fatal("offsets of the deleted topic would be taken for the new one's")
	}
}

func TestTheAuditTopicIsMadeOnce(t *testing.T) {
	fake := kafkatest.Start(t, 1, 1, time.Minute)
	for range 2 {
		if err := kafka.EnsureAudit(context.Background(), fake.Options, false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAWrongSpecIsNamed(t *testing.T) {
	for name, spec := range map[string]kafka.InboxSpec{"shards": {Shards: 0, Window: time.Minute}, "window": {Shards: 1}} {
		_, _, err := kafka.EnsureInbox(context.Background(), kafka.At("127.0.0.1:1"), kafkatest.Fleet(), spec)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v: want an error that names the %s", err, name)
		}
	}
}

func TestSASLOpensTheDoorOnlyWithTheRightPassword(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		for password, opens := range map[string]bool{"right, =proper": true, "wrong": false} {
			t.Run(mechanism+" "+password, func(t *testing.T) {
				cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser(mechanism, "tide,gate", "right, =proper"))
				if err != nil {
					t.Fatal(err)
				}
				defer cluster.Close()
				file := filepath.Join(t.TempDir(), "password")
				if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				o := kafka.At(cluster.ListenAddrs()...)
				o.Mechanism, o.Username, o.PasswordFile = mechanism, "tide,gate", file
				o.Timeout = time.Second
				_, _, err = kafka.EnsureInbox(context.Background(), o, kafkatest.Fleet(), kafka.InboxSpec{Shards: 1, Window: time.Minute})
				if (err == nil) != opens {
					t.Fatalf("got %v: want it open: %v", err, opens)
				}
			})
		}
	}
}
