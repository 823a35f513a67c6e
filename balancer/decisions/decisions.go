// Package decisions follows the newest decision of each fleet from another process: what the scaler answers from.
package decisions

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/internal/beat"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fenced"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/logkey"
)

// Follower keeps the newest decision of every fleet in memory. Safe for concurrent use.
type Follower struct {
	family *fenced.Family[decision.Decision]
	done   chan struct{}
}

// Follow starts to follow until ctx ends. It opens a feed for each fleet that Redis names, so that the first question
// about one finds its answer, and for each that is asked for. Each call to Redis takes at most timeout; poll is how
// often it reads besides the announcements of changes.
func Follow(ctx context.Context, client redis.UniversalClient, timeout, poll time.Duration, logger *slog.Logger) *Follower {
	f := &Follower{
		family: fenced.FollowFleets(ctx, client, Kind(timeout, poll), logger),
		done:   make(chan struct{}),
	}
	go f.discover(ctx, client, timeout, poll, logger)
	return f
}

// Kind says how decisions are stored.
func Kind(timeout, poll time.Duration) fenced.Kind[decision.Decision] {
	return fenced.Kind[decision.Decision]{Key: keys.Decision, Decode: decode, Timeout: timeout, Poll: poll}
}

func decode(id fleet.ID, body []byte) (decision.Decision, error) {
	d, err := decision.Decode(body)
	if err != nil {
		return decision.Decision{}, err
	}
	if d.Fleet != id {
		return decision.Decision{}, fmt.Errorf("decision is for fleet %s, stored under %s", d.Fleet, id)
	}
	return d, nil
}

// Latest is the fleet's newest decision and the Redis server's time now, from memory. Without any decision yet ok is
// false. The caller compares now with the decision's ExpiresAt.
func (f *Follower) Latest(id fleet.ID) (d decision.Decision, now time.Time, ok bool) {
	return f.family.Latest(id)
}

// Changed is closed at the next change of the fleet's decision, refreshes included. Take it before Latest.
func (f *Follower) Changed(id fleet.ID) <-chan struct{} {
	if feed := f.family.Of(id); feed != nil {
		return feed.Changed()
	}
	return nil // of a fleet that gets no feed nothing is ever heard
}

// Wait returns once all goroutines have ended; call it after ctx is done.
func (f *Follower) Wait() {
	<-f.done
	f.family.Wait()
}

func (f *Follower) discover(ctx context.Context, client redis.UniversalClient, timeout, poll time.Duration, logger *slog.Logger) {
	defer close(f.done)
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	failing := false
	for {
		err := f.open(ctx, client, timeout)
		if failed := err != nil; failed != failing && ctx.Err() == nil {
			failing = failed
			if failed {
				logger.Warn("the fleets cannot be read; those known stay", slog.Any(logkey.Err, err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (f *Follower) open(ctx context.Context, client redis.UniversalClient, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// Names that are no fleet's are reported by the balancer.
	ids, _, err := beat.Fleets(ctx, client)
	for _, id := range ids {
		f.family.Of(id)
	}
	return err
}
