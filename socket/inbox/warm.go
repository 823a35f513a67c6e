package inbox

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/record"
)

// warmUp finds the place in the log where a shard is to be read from, and begins to read.
func (i *Inbox) warmUp(ctx context.Context, r *reader) {
	select {
	case i.places <- struct{}{}:
		defer func() { <-i.places }()
	case <-ctx.Done():
		return
	}
	var wait time.Duration
	for !r.is(stopped) {
		m, from, err := i.mark(ctx, r)
		if err == nil {
			if r.start(newIndex(i.budget, i.seed, from), m) {
				i.warm.add(r, from)
			}
			return
		}
		if ctx.Err() == nil && wait == 0 {
			i.config.Logger.Warn("a shard cannot be warmed up; trying again", slog.Int(logkey.Shard, int(r.id)), slog.String(logkey.Err, err.Error()))
		}
		wait = backoff(wait)
		if !pause(ctx, wait, nil) {
			return
		}
	}
}

// mark writes the marker and finds the offset that the window begins at: by the broker's clock, which is that of the
// marker's receipt.
func (i *Inbox) mark(ctx context.Context, r *reader) (marker, int64, error) {
	nonce := rand.Text()
	value, err := record.Marker{Node: i.config.Node, Nonce: nonce}.Append(nil)
	if err != nil {
		return marker{}, 0, fmt.Errorf("write a marker: %w", err)
	}
	receipt, err := i.config.Writer.Produce(ctx, r.id, "", value)
	if err != nil {
		return marker{}, 0, err
	}
	from, err := i.lookup.since(ctx, r.id, receipt.At.Add(-i.config.Window))
	if err != nil {
		return marker{}, 0, err
	}
	if from < 0 {
		from = receipt.Offset // no record is that young, as the clocks of two leaders may have it: the marker is
	}
	return marker{nonce: nonce, offset: receipt.Offset}, from, nil
}

// warmed moves a reader that found its marker to the live fetcher. The warm one does not touch it any more: this runs
// on the goroutine that fetched for it, after everything was handled.
func (i *Inbox) warmed(each *feed, v verdict) {
	switch v {
	case becameReady:
		i.warm.remove(each.reader)
		if each.reader.serve() {
			i.live.add(each.reader, each.reader.next())
			i.config.Events.ReadyChanged()
		}
	case lostMarker:
		i.warm.remove(each.reader)
		i.restart(each)
	case goOn, over:
	}
}

// restart warms a shard up anew after its log lost what was to be read next. Its clients must come again: they may
// have missed messages, and are then told so.
func (i *Inbox) restart(each *feed) {
	old := each.reader
	i.config.Logger.Warn("a shard's log does not hold what was to be read next; reading it anew",
		slog.Int(logkey.Shard, int(old.id)), slog.Int64(logkey.Offset, each.place.offset))
	i.mu.Lock()
	current := i.readers[old.id] == old
	fresh := newReader(old.id, &i.config, i.lookup, i.tasks)
	if current {
		i.readers[old.id] = fresh
	}
	i.mu.Unlock()
	i.end(old)
	if current {
		i.config.Events.ReadyChanged()
		i.tasks.start(func(ctx context.Context) { i.warmUp(ctx, fresh) })
	}
}
