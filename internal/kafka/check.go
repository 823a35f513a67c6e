package kafka

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// The topic settings that the delivery promise rests on.
const (
	timestampType   = "message.timestamp.type"
	cleanupPolicy   = "cleanup.policy"
	retentionMs     = "retention.ms"
	segmentSize     = "segment.bytes"
	uncleanElection = "unclean.leader.election.enable"
	minInSync       = "min.insync.replicas"
)

// check compares a topic with what the inbox must be. The error holds a sentence for each setting that could lose a
// message or deliver it out of turn; a warning is what only costs time or disk, or is dangerous in production only.
func (s InboxSpec) check(topic string, found state) (warnings []string, err error) {
	var problems []error
	add := func(problem error) {
		if problem != nil {
			problems = append(problems, problem)
		}
	}
	if found.partitions != s.Shards {
		add(fmt.Errorf("topic %s has %d partitions, not %d: a fleet's shard count is fixed when its topic is created, so start with --shards=%d or use a new fleet name",
			topic, found.partitions, s.Shards, found.partitions))
	}
	add(mustBe(topic, found, timestampType, "LogAppendTime", "the resume window is measured by the brokers' clocks"))
	add(mustBe(topic, found, cleanupPolicy, "delete", "compaction would remove messages that were not read yet"))
	add(s.checkRetention(topic, found))
	if size := found.settings[segmentSize]; size != strconv.Itoa(segmentBytes) {
		warnings = append(warnings, fmt.Sprintf("topic %s has %s=%s: set %d, so that old messages leave the disk in small steps", topic, segmentSize, size, segmentBytes))
	}
	careful := errors.Join(
		mustBe(topic, found, uncleanElection, "false", "a replica that missed messages must not become the leader"),
		mustHave(topic, "replication factor", found.replicas, productionReplicas, "recreate or reassign the topic"),
		mustHaveInSync(topic, found),
	)
	if s.Production {
		add(careful)
	} else if unclean := mustBe(topic, found, uncleanElection, "false", "a replica that missed messages must not become the leader"); unclean != nil {
		warnings = append(warnings, unclean.Error())
	}
	return warnings, errors.Join(problems...)
}

func (s InboxSpec) checkRetention(topic string, found state) error {
	text := found.settings[retentionMs]
	kept, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("topic %s has %s=%q, which is no number: set at least %s", topic, retentionMs, text, millis(2*s.Window))
	}
	if kept >= 0 && kept < (2*s.Window).Milliseconds() {
		return fmt.Errorf("topic %s has %s=%d: set at least %s, twice the resume window of %v, or shorten the window",
			topic, retentionMs, kept, millis(2*s.Window), s.Window)
	}
	return nil
}

func mustBe(topic string, found state, setting, want, why string) error {
	if got := found.settings[setting]; got != want {
		return fmt.Errorf("topic %s has %s=%q: set %q, because %s", topic, setting, got, want, why)
	}
	return nil
}

func mustHave(topic, what string, got, want int, fix string) error {
	if got < want {
		return fmt.Errorf("topic %s has a %s of %d: production needs at least %d, so %s", topic, what, got, want, fix)
	}
	return nil
}

func mustHaveInSync(topic string, found state) error {
	got, err := strconv.Atoi(found.settings[minInSync])
	if err != nil {
		return fmt.Errorf("topic %s has %s=%q, which is no number: set %d", topic, minInSync, found.settings[minInSync], productionInSync)
	}
	return mustHave(topic, minInSync, got, productionInSync, fmt.Sprintf("set %s=%d", minInSync, productionInSync))
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
