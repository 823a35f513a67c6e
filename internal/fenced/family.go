package fenced

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/logkey"
)

// maxFeeds bounds a family: names of fleets come from outside, and each feed holds a subscription.
const maxFeeds = 4096

// Kind says what the cells of a family hold and how they are followed.
type Kind[T any] struct {
	// Key is the cell's key for a fleet.
	Key func(fleet.ID) string
	// Decode reads a value and refuses one that is not this fleet's.
	Decode func(fleet.ID, []byte) (T, error)
	// Timeout bounds each call and Poll is how often a feed reads besides the announcements.
	Timeout, Poll time.Duration
}

// Family holds one feed a fleet, each opened when it is first asked for. Safe for concurrent use.
type Family[T any] struct {
	open   func(fleet.ID) *Feed[T]
	logger *slog.Logger

	mu    sync.RWMutex
	feeds map[fleet.ID]*Feed[T]
	ids   []fleet.ID // sorted; replaced, never changed
	full  bool       // said once
}

// FollowFleets makes a family whose feeds end with ctx.
func FollowFleets[T any](ctx context.Context, client redis.UniversalClient, kind Kind[T], logger *slog.Logger) *Family[T] {
	return &Family[T]{
		logger: logger,
		feeds:  map[fleet.ID]*Feed[T]{},
		open: func(id fleet.ID) *Feed[T] {
			cell := NewCell(client, kind.Key(id), kind.Timeout)
			decode := func(body []byte) (T, error) { return kind.Decode(id, body) }
			return Follow(ctx, cell, kind.Poll, decode, logger.With(slog.String(logkey.Fleet, id.String())))
		},
	}
}

// Of returns the fleet's feed and opens it when it is new; nil when no more may be opened.
func (f *Family[T]) Of(id fleet.ID) *Feed[T] {
	f.mu.RLock()
	feed := f.feeds[id]
	f.mu.RUnlock()
	if feed != nil {
		return feed
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if feed := f.feeds[id]; feed != nil {
		return feed
	}
	if len(f.feeds) >= maxFeeds {
		if !f.full {
			f.full = true
			f.logger.Error("too many fleets are asked for; new ones get no answer", slog.Int(logkey.Count, len(f.feeds)))
		}
		return nil
	}
	feed = f.open(id)
	f.feeds[id] = feed
	f.ids = append(slices.Clone(f.ids), id)
	slices.SortFunc(f.ids, func(a, b fleet.ID) int { return strings.Compare(a.String(), b.String()) })
	return feed
}

// Latest is the newest value of the fleet with the server's time; see Feed.Latest.
func (f *Family[T]) Latest(id fleet.ID) (value T, now time.Time, ok bool) {
	if feed := f.Of(id); feed != nil {
		return feed.Latest()
	}
	return value, now, false
}

// Fleets lists those that have a feed, sorted. The caller must not change the list.
func (f *Family[T]) Fleets() []fleet.ID {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.ids
}

// Wait returns once every feed has ended; call it after ctx is done and when nobody asks for new fleets.
func (f *Family[T]) Wait() {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, feed := range f.feeds {
		feed.Wait()
	}
}
