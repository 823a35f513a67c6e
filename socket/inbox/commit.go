package inbox

import (
	"context"
	"log/slog"

	"github.com/IBM/sarama"

	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/shard"
)

// commit tells Kafka how far the ready shards were delivered. Nothing reads it back, so a failure costs a point on a
// graph and is said once.
func (i *Inbox) commit(ctx context.Context) {
	if i.config.Group == "" {
		return
	}
	committed := make(map[shard.ID]int64)
	failed := false
	for pause(ctx, i.config.CommitEvery, nil) {
		progress := i.progress(committed)
		if len(progress) == 0 {
			continue
		}
		err := i.commitOnce(ctx, progress)
		if err != nil && !failed && ctx.Err() == nil {
			i.config.Logger.Warn("progress cannot be committed; only graphs of the consumer group miss it", slog.String(logkey.Err, err.Error()))
		}
		failed = err != nil
		if !failed {
			committed = progress
		}
	}
}

// progress is the next offset of each ready shard that moved since the last commit.
func (i *Inbox) progress(committed map[shard.ID]int64) map[shard.ID]int64 {
	progress := make(map[shard.ID]int64)
	moved := false
	for _, r := range i.all() {
		if r.is(ready) {
			progress[r.id] = r.delivered.Load() + 1
			moved = moved || committed[r.id] != progress[r.id]
		}
	}
	if !moved {
		return nil
	}
	return progress
}

func (i *Inbox) commitOnce(ctx context.Context, progress map[shard.ID]int64) error {
	client, err := i.lookupClient.open(ctx)
	if err != nil {
		return err
	}
	coordinator, err := client.Coordinator(i.config.Group)
	if err != nil {
		return err
	}
	request := &sarama.OffsetCommitRequest{
		Version: 2, ConsumerGroup: i.config.Group, ConsumerGroupGeneration: -1, RetentionTime: -1,
	}
	for id, offset := range progress {
		request.AddBlock(i.config.Topic, int32(id), offset, 0, "")
	}
	if _, err = coordinator.CommitOffset(request); err != nil {
		_ = client.RefreshCoordinator(i.config.Group) // The next commit finds out whether that helped.
	}
	return err
}
