package kafka

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/IBM/sarama"
	"github.com/cespare/xxhash/v2"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/shard"
)

const (
	segmentBytes = 64 << 20
	// productionReplicas and productionInSync let one broker die without a message or an ack lost.
	productionReplicas = 3
	productionInSync   = 2
	// brokersChoice leaves the replication factor to the brokers' default.
	brokersChoice = -1
	auditDays     = 7
	// settle is how long a topic just made may be unknown to the broker that is asked next.
	settle     = 10 * time.Second
	settleStep = 50 * time.Millisecond
)

// InboxSpec is what a fleet's inbox must be.
type InboxSpec struct {
	// Shards is the exact partition count, fixed when the topic is created.
	Shards int
	// Window is the resume window; the log is kept at least twice as long.
	Window time.Duration
	// Production asks for replication 3 with 2 in sync, so that no broker's death loses a message.
	Production bool
}

// Inbox is a fleet's topic as it was found or made.
type Inbox struct {
	Topic string
	// TopicID tells two topics of the same name apart in 11 characters of [A-Za-z0-9_-]. It is drawn from Kafka's
	// topic UUID. A broker that gives none (before 2.8) gets a substitute drawn from the topic's name, which is
	// stable but cannot tell that the topic was deleted and made anew.
	TopicID string
	Shards  int
}

// EnsureInbox creates the fleet's inbox topic or checks the one that is there. Warnings are sentences for the log;
// the error joins one sentence for each setting under which messages could be lost. Safe to call from many nodes at once.
func EnsureInbox(ctx context.Context, o Options, id fleet.ID, spec InboxSpec) (Inbox, []string, error) {
	if err := errors.Join(id.Validate(), spec.validate()); err != nil {
		return Inbox{}, nil, err
	}
	topic := keys.InboxTopic(id)
	found, err := ensure(ctx, o, topic, spec.detail())
	if err != nil {
		return Inbox{}, nil, err
	}
	warnings, err := spec.check(topic, found)
	if err != nil {
		return Inbox{}, warnings, err
	}
	return Inbox{Topic: topic, TopicID: topicID(topic, found.id), Shards: found.partitions}, warnings, nil
}

// EnsureAudit creates the topic of decisions when it is missing; what an operator made of it is left alone.
func EnsureAudit(ctx context.Context, o Options, production bool) error {
	detail := &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: replicas(production), ConfigEntries: entries(map[string]string{
		cleanupPolicy: "delete",
		retentionMs:   millis(auditDays * 24 * time.Hour),
	})}
	_, err := ensure(ctx, o, keys.AuditTopic, detail)
	return err
}

func (s InboxSpec) validate() error {
	if s.Shards < 1 || s.Shards > shard.MaxShards {
		return fmt.Errorf("shards %d: want 1 to %d", s.Shards, shard.MaxShards)
	}
	if s.Window < time.Second || s.Window > 24*time.Hour {
		return fmt.Errorf("resume window %v: want 1s to 24h", s.Window)
	}
	return nil
}

func (s InboxSpec) detail() *sarama.TopicDetail {
	wanted := map[string]string{
		timestampType:   "LogAppendTime",
		cleanupPolicy:   "delete",
		retentionMs:     millis(2 * s.Window),
		segmentSize:     strconv.Itoa(segmentBytes),
		uncleanElection: "false",
	}
	if s.Production {
		wanted[minInSync] = strconv.Itoa(productionInSync)
	}
	return &sarama.TopicDetail{NumPartitions: int32(s.Shards), ReplicationFactor: replicas(s.Production), ConfigEntries: entries(wanted)}
}

func replicas(production bool) int16 {
	if production {
		return productionReplicas
	}
	return brokersChoice
}

// state is a topic as the brokers describe it.
type state struct {
	id         sarama.Uuid
	partitions int
	// replicas is the smallest count of any partition.
	replicas int
	settings map[string]string
}

// ensure describes the topic and creates it first when it is not there.
func ensure(ctx context.Context, o Options, topic string, detail *sarama.TopicDetail) (state, error) {
	config, err := o.Lookup()
	if err != nil {
		return state{}, err
	}
	config.Metadata.Full = true // without it the client never learns who the controller is
	admin, err := sarama.NewClusterAdmin(o.Brokers, config)
	if err != nil {
		return state{}, fmt.Errorf("reach Kafka at %v: %w", o.Brokers, err)
	}
	defer func() { _ = admin.Close() }() // Nothing is lost with a connection that only read.
	err = admin.CreateTopic(topic, detail, false)
	if err != nil && !errors.Is(err, sarama.ErrTopicAlreadyExists) && !errors.Is(err, sarama.ErrTopicAuthorizationFailed) {
		return state{}, fmt.Errorf("create topic %s: %w", topic, err)
	}
	return describe(ctx, admin, topic)
}

// describe waits until the cluster knows a topic that was just created.
func describe(ctx context.Context, admin sarama.ClusterAdmin, topic string) (state, error) {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	ticker := time.NewTicker(settleStep)
	defer ticker.Stop()
	for {
		found, err := describeOnce(admin, topic)
		if err == nil {
			return found, nil
		}
		select {
		case <-ctx.Done():
			return state{}, fmt.Errorf("describe topic %s: %w", topic, err)
		case <-ticker.C:
		}
	}
}

func describeOnce(admin sarama.ClusterAdmin, topic string) (state, error) {
	described, err := admin.DescribeTopics([]string{topic})
	if err != nil {
		return state{}, err
	}
	if len(described) != 1 || len(described[0].Partitions) == 0 {
		return state{}, sarama.ErrUnknownTopicOrPartition
	}
	if !errors.Is(described[0].Err, sarama.ErrNoError) {
		return state{}, described[0].Err
	}
	found := state{id: described[0].Uuid, partitions: len(described[0].Partitions), settings: map[string]string{}}
	for i, partition := range described[0].Partitions {
		if i == 0 || len(partition.Replicas) < found.replicas {
			found.replicas = len(partition.Replicas)
		}
	}
	return found, readSettings(admin, topic, found.settings)
}

func readSettings(admin sarama.ClusterAdmin, topic string, settings map[string]string) error {
	described, err := admin.DescribeConfigs([]*sarama.ConfigResource{{Type: sarama.TopicResource, Name: topic}}, sarama.DescribeConfigsOptions{})
	if err != nil {
		return fmt.Errorf("read its settings: %w", err)
	}
	for _, resource := range described {
		if !errors.Is(resource.ErrorCode, sarama.ErrNoError) {
			return fmt.Errorf("read its settings: %w", resource.ErrorCode)
		}
		for _, entry := range resource.Configs {
			settings[entry.Name] = entry.Value
		}
	}
	return nil
}

func topicID(topic string, id sarama.Uuid) string {
	sum := xxhash.Sum64(id[:])
	if id == (sarama.Uuid{}) {
		sum = xxhash.Sum64String(topic)
	}
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, sum))
}

func entries(values map[string]string) map[string]*string {
	pointers := make(map[string]*string, len(values))
	for key, value := range maps.All(values) {
		pointers[key] = &value
	}
	return pointers
}
