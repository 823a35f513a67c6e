package fenced_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/fenced"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/redisconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	key     = "tidegate:{shop/chat}:table"
	timeout = 5 * time.Second
	// never is a poll that no test waits for.
	never = time.Hour
)

func connect(tb testing.TB, server *miniredis.Miniredis) redis.UniversalClient {
	tb.Helper()
	client, err := redisconn.Open(redisconn.Options{Addrs: []string{server.Addr()}, Timeout: timeout})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = client.Close() })
	return client
}

func text(body []byte) (string, error) {
	if bytes.HasPrefix(body, []byte("bad")) {
		return "", errors.New("no value")
	}
	return string(body), nil
}

func TestWriteAcceptsOnlyWhatIsNotOlder(t *testing.T) {
	type head struct{ fence, version uint64 }
	tests := map[string]struct {
		held, write head
		fenced      bool
	}{
		"a higher version of one leader":           {head{5, 1}, head{5, 2}, false},
		"the same again, as a retry sends it":      {head{5, 1}, head{5, 1}, false},
		"a lower version of one leader":            {head{5, 2}, head{5, 1}, true},
		"a newer leader that counts lower":         {head{5, 9}, head{6, 1}, false},
		"an older leader that counts higher":       {head{6, 1}, head{5, 9}, true},
		"more digits are more":                     {head{9, 1}, head{10, 1}, false},
		"fences that differ above 2^53":            {head{math.MaxUint64, 1}, head{math.MaxUint64 - 1, 9}, true},
		"versions that differ above 2^53 (accept)": {head{5, 1 << 60}, head{5, 1<<60 + 1}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cell := fenced.NewCell(connect(t, miniredis.RunT(t)), key, timeout)
			if err := cell.Write(t.Context(), test.held.fence, test.held.version, []byte("held")); err != nil {
				t.Fatal(err)
			}
			err := cell.Write(t.Context(), test.write.fence, test.write.version, []byte("new"))
			if errors.Is(err, fenced.ErrFenced) != test.fenced {
				t.Fatalf("write answered %v, want fenced %v", err, test.fenced)
			}
			reading, err := cell.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]string{true: "held", false: "new"}[test.fenced]; string(reading.Body) != want {
				t.Errorf("the cell holds %q, want %q", reading.Body, want)
			}
		})
	}
}

func TestCellNeverGoesBack(t *testing.T) {
	server := miniredis.RunT(t)
	client := connect(t, server)
	rapid.Check(t, func(r *rapid.T) {
		server.FlushAll()
		cell := fenced.NewCell(client, key, timeout)
		var fence, version uint64
		for range rapid.IntRange(1, 12).Draw(r, "writes") {
			f, v := rapid.Uint64Range(1, 4).Draw(r, "fence"), rapid.Uint64Range(1, 4).Draw(r, "version")
			older := f < fence || f == fence && v < version
			err := cell.Write(context.Background(), f, v, fmt.Appendf(nil, "%d.%d", f, v))
			if errors.Is(err, fenced.ErrFenced) != older {
				r.Fatalf("write %d.%d over %d.%d answered %v: two leaders could both believe they lead", f, v, fence, version, err)
			}
			if !older {
				fence, version = f, v
			}
			reading, err := cell.Read(context.Background())
			if err != nil || reading.Fence != fence || reading.Version != version {
				r.Fatalf("cell holds %d.%d (%v), want %d.%d", reading.Fence, reading.Version, err, fence, version)
			}
		}
	})
}

func TestReadTellsTheServersTimeAndWhatIsMissing(t *testing.T) {
	server := miniredis.RunT(t)
	want := time.UnixMilli(1_700_000_000_123)
	server.SetTime(want)
	cell := fenced.NewCell(connect(t, server), key, timeout)
	reading, err := cell.Read(t.Context())
	if err != nil || reading.Found || !reading.Now.Equal(want) {
		t.Fatalf("reading of an empty cell: %+v (%v), want not found at %v", reading, err, want)
	}
	server.HSet(key, "fence", "many", "version", "one", "body", "x")
	if _, err := cell.Read(t.Context()); err == nil {
		t.Error("a cell that somebody else wrote was read as if a leader had written it")
	}
}

func TestEveryCallIsBounded(t *testing.T) {
	server := miniredis.RunT(t)
	client := connect(t, server)
	server.Close()
	cell := fenced.NewCell(client, key, 50*time.Millisecond)
	if err := cell.Write(t.Context(), 1, 1, nil); err == nil || errors.Is(err, fenced.ErrFenced) {
		t.Errorf("write to a Redis that is gone: %v, want an error that is not ErrFenced", err)
	}
	if _, err := cell.Read(t.Context()); err == nil {
		t.Error("read from a Redis that is gone answered")
	}
}

// follow starts a feed that ends with the test.
func follow(t *testing.T, cell fenced.Cell, poll time.Duration, logger *slog.Logger) *fenced.Feed[string] {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	feed := fenced.Follow(ctx, cell, poll, text, logger)
	t.Cleanup(func() { cancel(); feed.Wait() })
	return feed
}

// await blocks until the feed holds want.
func await(t *testing.T, feed *fenced.Feed[string], want string) {
	t.Helper()
	for {
		changed := feed.Changed()
		got, _, ok := feed.Latest()
		if ok && got == want {
			return
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatalf("the feed holds %q, want %q", got, want)
		case <-time.After(10 * time.Second):
			t.Fatalf("after 10 s the feed holds %q, want %q", got, want)
		}
	}
}

func TestFeedHearsOfAChangeWithoutPolling(t *testing.T) {
	server := miniredis.RunT(t)
	client := connect(t, server)
	cell := fenced.NewCell(client, key, timeout)
	feed := follow(t, cell, never, slog.New(slog.DiscardHandler))
	// The subscription must stand before the write, or only the poll would find it.
	for len(server.PubSubChannels("")) == 0 {
		if _, err := client.Ping(t.Context()).Result(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(3) {
		body := fmt.Sprintf("value %d", i)
		if err := cell.Write(t.Context(), 1, i+1, []byte(body)); err != nil {
			t.Fatal(err)
		}
		await(t, feed, body)
	}
}

func TestFeedFindsALostAnnouncementByPolling(t *testing.T) {
	server := miniredis.RunT(t)
	cell := fenced.NewCell(connect(t, server), key, timeout)
	feed := follow(t, cell, 5*time.Millisecond, slog.New(slog.DiscardHandler))
	server.HSet(key, "fence", fmt.Sprintf("%020d", 7), "version", fmt.Sprintf("%020d", 1), "body", "silent")
	await(t, feed, "silent")
}

func TestFeedNeverGoesBackWhenRedisLosesItsData(t *testing.T) {
	server := miniredis.RunT(t)
	cell := fenced.NewCell(connect(t, server), key, timeout)
	feed := follow(t, cell, never, slog.New(slog.DiscardHandler))
	write := func(fence, version uint64, body string) {
		t.Helper()
		if err := cell.Write(t.Context(), fence, version, []byte(body)); err != nil {
			t.Fatal(err)
		}
		if err := feed.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	write(9, 9, "newest")
	server.FlushAll()
	write(9, 3, "the same leader, from before")
	await(t, feed, "newest")
	server.FlushAll()
	if err := feed.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, feed, "newest")
	write(10, 1, "a new leader")
	await(t, feed, "a new leader")
}

// lockedBuffer is written by the feed's goroutine and read by the test.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.buf.String(), text)
}

func TestFeedKeepsTheLastGoodValueAndSaysOnceWhy(t *testing.T) {
	server := miniredis.RunT(t)
	var out lockedBuffer
	cell := fenced.NewCell(connect(t, server), key, timeout)
	feed := follow(t, cell, never, slog.New(slog.NewTextHandler(&out, nil)))
	if err := cell.Write(t.Context(), 1, 1, []byte("good")); err != nil {
		t.Fatal(err)
	}
	await(t, feed, "good")
	if err := cell.Write(t.Context(), 1, 2, []byte("bad")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := feed.Refresh(t.Context()); err == nil {
			t.Error("a value that cannot be decoded was no error")
		}
	}
	await(t, feed, "good")
	if n := out.count("the last good one stays"); n != 1 {
		t.Errorf("the bad value was logged %d times, want once", n)
	}
	if err := cell.Write(t.Context(), 1, 3, []byte("good again")); err != nil {
		t.Fatal(err)
	}
	await(t, feed, "good again")
}

func TestFeedServesFromMemoryWhileRedisIsAway(t *testing.T) {
	server := miniredis.RunT(t)
	server.SetTime(time.UnixMilli(1_700_000_000_000))
	var out lockedBuffer
	cell := fenced.NewCell(connect(t, server), key, timeout)
	feed := follow(t, cell, 5*time.Millisecond, slog.New(slog.NewTextHandler(&out, nil)))
	if err := cell.Write(t.Context(), 1, 1, []byte("kept")); err != nil {
		t.Fatal(err)
	}
	await(t, feed, "kept")
	server.Close()
	deadline := time.Now().Add(10 * time.Second)
	for out.count("cannot be read") == 0 && time.Now().Before(deadline) {
		<-time.After(time.Millisecond)
	}
	got, now, ok := feed.Latest()
	if !ok || got != "kept" {
		t.Errorf("with Redis away the feed holds %q (%v), want the last good value", got, ok)
	}
	if since := now.Sub(time.UnixMilli(1_700_000_000_000)); since <= 0 || since > time.Minute {
		t.Errorf("the server's time stands %v after the last reading, want it carried on", since)
	}
	if n := out.count("cannot be read"); n != 1 {
		t.Errorf("the outage was logged %d times, want once", n)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := cell.Write(t.Context(), 1, 2, []byte("back")); err != nil {
		t.Fatal(err)
	}
	await(t, feed, "back")
}

func TestFeedEndsThoughItsClientWasClosedFirst(t *testing.T) {
	server := miniredis.RunT(t)
	client := connect(t, server)
	cell := fenced.NewCell(client, key, timeout)
	ctx, cancel := context.WithCancel(context.Background())
	feed := fenced.Follow(ctx, cell, never, text, slog.New(slog.DiscardHandler))
	for len(server.PubSubChannels("")) == 0 {
		if err := feed.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	for feed.Refresh(t.Context()) == nil {
		<-time.After(time.Millisecond)
	}
	cancel()
	ended := make(chan struct{})
	go func() { feed.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the feed spins on a subscription that is closed")
	}
}

func TestFamilyOpensOneFeedAFleet(t *testing.T) {
	server := miniredis.RunT(t)
	client := connect(t, server)
	ctx, cancel := context.WithCancel(context.Background())
	kind := fenced.Kind[string]{
		Key:     func(id fleet.ID) string { return "cell:" + id.String() },
		Decode:  func(id fleet.ID, body []byte) (string, error) { return id.Name + " " + string(body), nil },
		Timeout: timeout, Poll: 10 * time.Millisecond,
	}
	family := fenced.FollowFleets(ctx, client, kind, slog.New(slog.DiscardHandler))
	defer func() { cancel(); family.Wait() }()
	b, a := fleet.ID{Namespace: "shop", Name: "b"}, fleet.ID{Namespace: "shop", Name: "a"}
	first := family.Of(b)
	if _, _, ok := family.Latest(b); ok || first != family.Of(b) || first == family.Of(a) {
		t.Error("want one feed a fleet, empty at first")
	}
	if ids := family.Fleets(); len(ids) != 2 || ids[0] != a || ids[1] != b {
		t.Errorf("fleets %v, want a and b in order", ids)
	}
	if err := fenced.NewCell(client, "cell:shop/a", timeout).Write(t.Context(), 1, 1, []byte("value")); err != nil {
		t.Fatal(err)
	}
	await(t, family.Of(a), "a value")
	if _, _, ok := family.Latest(b); ok {
		t.Error("one fleet's value is served for another")
	}
}

func BenchmarkLatest(b *testing.B) {
	server := miniredis.RunT(b)
	cell := fenced.NewCell(connect(b, server), key, timeout)
	if err := cell.Write(b.Context(), 1, 1, []byte("value")); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	feed := fenced.Follow(ctx, cell, never, text, slog.New(slog.DiscardHandler))
	defer func() { cancel(); feed.Wait() }()
	if err := feed.Refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, ok := feed.Latest(); !ok {
			b.Fatal("no value")
		}
	}
}

func TestAFeedTellsHowLongItsLeaderHasBeenSilent(t *testing.T) {
	server, began := miniredis.RunT(t), time.UnixMilli(1_900_000_000_000)
	server.SetTime(began)
	cell := fenced.NewCell(connect(t, server), key, timeout)
	feed := follow(t, cell, never, slog.New(slog.DiscardHandler))
	if age := feed.Age(); age < 24*time.Hour {
		t.Errorf("of a cell that nobody wrote the age is %s", age)
	}
	look := func(after, least, most time.Duration) {
		t.Helper()
		server.SetTime(began.Add(after))
		if err := feed.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if age := feed.Age(); age < least || age > most {
			t.Errorf("after %s the age is %s, want %s", after, age, least)
		}
	}
	for range 2 { // the same again tells that the leader lives
		if err := cell.Write(t.Context(), 1, 1, []byte("value")); err != nil {
			t.Fatal(err)
		}
		look(0, 0, timeout)
		look(time.Minute, time.Minute, time.Minute+timeout)
		began = began.Add(time.Hour)
		server.SetTime(began)
	}
}
