package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/tidegate/tidegate/internal/shard"
)

// fetchVersion is the newest fetch that still names topics by name; sarama lowers it to what the broker knows.
const fetchVersion = 11

// place is where a fetch begins in one shard.
type place struct {
	shard  shard.ID
	offset int64
	epoch  int32
}

// request asks one broker for several shards of one topic.
func request(config *sarama.Config, topic string, places []place) *sarama.FetchRequest {
	fetch := &sarama.FetchRequest{
		Version: fetchVersion, MinBytes: config.Consumer.Fetch.Min, MaxBytes: config.Consumer.Fetch.MaxBytes,
		MaxWaitTime: int32(config.Consumer.MaxWaitTime / time.Millisecond),
		// No fetch session: the set of shards changes, and a list of a thousand is small.
		SessionEpoch: -1,
	}
	for _, p := range places {
		fetch.AddBlock(topic, int32(p.shard), p.offset, config.Consumer.Fetch.Default, p.epoch)
	}
	return fetch
}

// unpack reads one shard's part of an answer. An answer without that part brings nothing.
func unpack(response *sarama.FetchResponse, topic string, p place, at time.Time) (fetched, error) {
	f := fetched{next: p.offset, high: p.offset, at: at}
	block := response.GetBlock(topic, int32(p.shard))
	if block == nil {
		return f, nil
	}
	if errors.Is(block.Err, sarama.ErrOffsetOutOfRange) {
		return f, errOutOfRange
	}
	if !errors.Is(block.Err, sarama.ErrNoError) {
		return f, block.Err
	}
	f.high = block.HighWaterMarkOffset
	for _, records := range block.RecordsSet {
		if batch := records.RecordBatch; batch != nil && !batch.PartialTrailingRecord {
			f.add(batch)
		}
	}
	return f, nil
}

// add takes the records of a batch; a batch may begin before the offset that was asked for.
func (f *fetched) add(batch *sarama.RecordBatch) {
	if !batch.Control {
		for _, r := range batch.Records {
			offset := batch.FirstOffset + r.OffsetDelta
			if offset < f.next {
				continue
			}
			at := batch.FirstTimestamp.Add(r.TimestampDelta)
			if batch.LogAppendTime {
				at = batch.MaxTimestamp
			}
			f.entries = append(f.entries, entry{offset: offset, at: at, key: r.Key, value: r.Value})
		}
	}
	f.next = max(f.next, batch.LastOffset()+1)
}

// lookup finds offsets and reads what the log holds already. Its methods are safe for concurrent use.
type lookup struct {
	client *client
	topic  string
	now    func() time.Time
}

// readLog implements logReader.
func (l *lookup) readLog(ctx context.Context, id shard.ID, from int64) (fetched, error) {
	client, err := l.client.open(ctx)
	if err != nil {
		return fetched{}, err
	}
	leader, epoch, err := client.LeaderAndEpoch(l.topic, int32(id))
	if err != nil {
		return fetched{}, fmt.Errorf("find the leader of shard %d: %w", id, err)
	}
	p := place{shard: id, offset: from, epoch: epoch}
	response, err := leader.Fetch(request(client.Config(), l.topic, []place{p}))
	if err != nil {
		_ = leader.Close() // The next attempt opens it anew.
		return fetched{}, fmt.Errorf("read shard %d from offset %d: %w", id, from, err)
	}
	f, err := unpack(response, l.topic, p, l.now())
	if err != nil && !errors.Is(err, errOutOfRange) {
		_ = client.RefreshMetadata(l.topic) // Another leader is the likely reason; the caller tries again either way.
	}
	return f, err
}

// oldest implements logReader.
func (l *lookup) oldest(ctx context.Context, id shard.ID) (int64, error) {
	return l.offset(ctx, id, sarama.OffsetOldest)
}

// end is the offset that the next record of a shard will get.
func (l *lookup) end(ctx context.Context, id shard.ID) (int64, error) {
	return l.offset(ctx, id, sarama.OffsetNewest)
}

// since is the first offset at or after a time of the broker's; -1 when there is none.
func (l *lookup) since(ctx context.Context, id shard.ID, at time.Time) (int64, error) {
	return l.offset(ctx, id, at.UnixMilli())
}

func (l *lookup) offset(ctx context.Context, id shard.ID, what int64) (int64, error) {
	client, err := l.client.open(ctx)
	if err != nil {
		return 0, err
	}
	offset, err := client.GetOffset(l.topic, int32(id), what)
	if err != nil {
		return 0, fmt.Errorf("look up an offset of shard %d: %w", id, err)
	}
	return offset, nil
}
