package decisions_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/balancer/decisions"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fenced"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/redisconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const timeout = 5 * time.Second

var (
	chat = fleet.ID{Namespace: "shop", Name: "chat"}
	feed = fleet.ID{Namespace: "shop", Name: "feed"}
	now  = time.UnixMilli(1_900_000_000_000)
)

func setUp(t *testing.T) (*miniredis.Miniredis, redis.UniversalClient, *decisions.Follower) {
	t.Helper()
	server := miniredis.RunT(t)
	server.SetTime(now)
	client, err := redisconn.Open(redisconn.Options{Addrs: []string{server.Addr()}, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	follower := decisions.Follow(ctx, client, timeout, 10*time.Millisecond, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { cancel(); follower.Wait() })
	return server, client, follower
}

func write(t *testing.T, client redis.UniversalClient, key string, version uint64, d decision.Decision) {
	t.Helper()
	d.ExpiresAt = now.Add(time.Minute)
	body, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := fenced.NewCell(client, key, timeout).Write(t.Context(), 1, version, body); err != nil {
		t.Fatal(err)
	}
}

// await waits for a desired count and returns the server's time with it.
func await(t *testing.T, f *decisions.Follower, id fleet.ID, desired int) time.Time {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		changed := f.Changed(id)
		if d, at, ok := f.Latest(id); ok && d.Desired == desired {
			return at
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("no decision of %d for %s within 10 s", desired, id)
		}
	}
}

func TestLatestFollowsEachFleetByItself(t *testing.T) {
	_, client, follower := setUp(t)
	if _, _, ok := follower.Latest(chat); ok {
		t.Error("a fleet without a decision has one")
	}
	write(t, client, keys.Decision(chat), 1, decision.Decision{Fleet: chat, Desired: 3})
	write(t, client, keys.Decision(feed), 1, decision.Decision{Fleet: feed, Desired: 7})
	if at := await(t, follower, chat, 3); at.Sub(now) < 0 || at.Sub(now) > time.Minute {
		t.Errorf("the decision comes at %v, want the server's time %v, carried on", at, now)
	}
	await(t, follower, feed, 7)
	write(t, client, keys.Decision(chat), 2, decision.Decision{Fleet: chat, Desired: 4})
	await(t, follower, chat, 4)
}

func TestFleetThatSendsHeartbeatsIsKnownBeforeTheFirstQuestion(t *testing.T) {
	server, client, follower := setUp(t)
	write(t, client, keys.Decision(chat), 1, decision.Decision{Fleet: chat, Desired: 5})
	if _, err := server.SAdd(keys.Fleets, chat.String(), "no fleet"); err != nil {
		t.Fatal(err)
	}
	late := time.After(10 * time.Second)
	for len(server.PubSubChannels(keys.Changed(keys.Decision(chat)))) == 0 {
		select {
		case <-late:
			t.Fatal("nobody follows the fleet after 10 s: the scaler's first answer would be a failure")
		case <-time.After(time.Millisecond):
		}
	}
	await(t, follower, chat, 5)
}

func TestDecisionOfAnotherFleetIsNotServed(t *testing.T) {
	_, client, follower := setUp(t)
	write(t, client, keys.Decision(chat), 1, decision.Decision{Fleet: chat, Desired: 3})
	await(t, follower, chat, 3)
	write(t, client, keys.Decision(chat), 2, decision.Decision{Fleet: feed, Desired: 50})
	write(t, client, keys.Decision(feed), 1, decision.Decision{Fleet: feed, Desired: 7})
	await(t, follower, feed, 7)
	if d, _, _ := follower.Latest(chat); d.Desired != 3 {
		t.Errorf("serves %d, another fleet's count", d.Desired)
	}
}
