package page

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
)

// listen opens an event stream on a real server; it ends with the test.
func listen(t *testing.T, f *Feed, query string) (next func() (event, data string), stop func()) {
	t.Helper()
	h, _ := logged(f)
	server := httptest.NewServer(h)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/v1/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		_ = answer.Body.Close()
		server.Close()
	})
	t.Cleanup(stop)
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("content type %q, want an event stream", got)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	return func() (event, data string) {
		t.Helper()
		for lines.Scan() {
			line := lines.Text()
			switch {
			case strings.HasPrefix(line, "event: "):
				event = line[len("event: "):]
			case strings.HasPrefix(line, "data: "):
				data = line[len("data: "):]
			case line == "" && event != "":
				return event, data
			}
		}
		return "end", ""
	}, stop
}

func wantEvent(t *testing.T, next func() (string, string), event, data string) {
	t.Helper()
	gotEvent, gotData := next()
	if gotEvent != event || !strings.Contains(gotData, data) {
		t.Fatalf("got event %q with %.200s, want %q with %s", gotEvent, gotData, event, data)
	}
}

func subscribers(f *Feed) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.subscribers)
}

func TestAPublishedSnapshotArrivesAtTheBrowser(t *testing.T) {
	f := twoFleets()
	next, _ := listen(t, f, "?fleet=prod/chat")
	wantEvent(t, next, "fleets", `["prod/chat","prod/games"]`)
	wantEvent(t, next, "snapshot", `"desired":6`)
	f.Publish(snapshotOf(games, 9, 9))
	f.Publish(snapshotOf(chat, 2, 7))
	wantEvent(t, next, "snapshot", `"desired":7`)
	f.Publish(snapshotOf(fleet.ID{Namespace: "prod", Name: "new"}, 0, 2))
	wantEvent(t, next, "fleets", `["prod/chat","prod/games","prod/new"]`)
}

func TestAStreamWithoutAFleetWaitsForTheFirst(t *testing.T) {
	f := NewFeed(1)
	next, _ := listen(t, f, "")
	wantEvent(t, next, "fleets", `[]`)
	f.Publish(snapshotOf(games, 0, 3))
	wantEvent(t, next, "fleets", `["prod/games"]`)
	wantEvent(t, next, "snapshot", `"fleet":"prod/games"`)
	f.Publish(snapshotOf(chat, 0, 5))
	wantEvent(t, next, "fleets", `["prod/chat","prod/games"]`)
	f.Publish(snapshotOf(games, 1, 4))
	wantEvent(t, next, "snapshot", `"fleet":"prod/games"`)
}

func TestClosingTheFeedEndsEveryStream(t *testing.T) {
	f := twoFleets()
	next, _ := listen(t, f, "")
	wantEvent(t, next, "fleets", "")
	wantEvent(t, next, "snapshot", "")
	f.Close()
	f.Close()
	if event, _ := next(); event != "end" {
		t.Errorf("got %q after the close: a server's shutdown would wait for this browser", event)
	}
	f.Publish(snapshotOf(chat, 3, 3))
}

// slowWriter is a browser in memory whose reads the test controls.
type slowWriter struct {
	header http.Header
	mu     sync.Mutex
	text   strings.Builder
	gate   chan struct{}
	broken bool
}

func (w *slowWriter) Header() http.Header { return w.header }
func (w *slowWriter) WriteHeader(int)     {}
func (w *slowWriter) Flush()              {}

func (w *slowWriter) Write(p []byte) (int, error) {
	if w.gate != nil {
		<-w.gate
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return 0, errors.New("connection reset")
	}
	return w.text.Write(p)
}

func (w *slowWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// openStream runs one event stream in a synctest bubble and returns what ends it.
func openStream(t *testing.T, f *Feed, w *slowWriter) context.CancelFunc {
	t.Helper()
	w.header = http.Header{}
	ctx, cancel := context.WithCancel(t.Context())
	h, _ := logged(f)
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/events", nil)
	go h.ServeHTTP(w, r)
	synctest.Wait()
	return cancel
}

func TestABrowserThatLagsSkipsSnapshotsAndHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFeed(10)
		f.Publish(snapshotOf(chat, 0, 1))
		w := &slowWriter{gate: make(chan struct{})}
		defer openStream(t, f, w)()
		for i := range 1000 {
			f.Publish(snapshotOf(chat, i+1, 2+i))
		}
		close(w.gate)
		synctest.Wait()
		if got := strings.Count(w.String(), "event: snapshot"); got > 2 || !strings.Contains(w.String(), `"desired":1001`) {
			t.Errorf("%d snapshots were sent, want at most 2 with the newest: a slow browser must not pile up memory", got)
		}
	})
}

func TestAnIdleStreamCarriesAHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &slowWriter{}
		defer openStream(t, NewFeed(1), w)()
		<-time.After(3*heartbeat + time.Second)
		synctest.Wait()
		if got := strings.Count(w.String(), ": heartbeat\n\n"); got != 3 {
			t.Errorf("%d heartbeats in three periods, want 3: a proxy would close the stream", got)
		}
	})
}

func TestAStreamEndsWithItsBrowser(t *testing.T) {
	for name, end := range map[string]func(f *Feed, w *slowWriter, cancel func()){
		"the request is cancelled": func(_ *Feed, _ *slowWriter, cancel func()) { cancel() },
		"the connection breaks": func(f *Feed, w *slowWriter, _ func()) {
			w.mu.Lock()
			w.broken = true
			w.mu.Unlock()
			f.Publish(snapshotOf(chat, 1, 1))
		},
		"the feed closes": func(f *Feed, _ *slowWriter, _ func()) { f.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, w := NewFeed(1), &slowWriter{}
				cancel := openStream(t, f, w)
				defer cancel()
				if got := subscribers(f); got != 1 {
					t.Fatalf("%d subscribers, want 1", got)
				}
				end(f, w, cancel)
				synctest.Wait()
				if got := subscribers(f); got != 0 {
					t.Errorf("%d subscribers are left: each costs a place and a goroutine", got)
				}
			})
		})
	}
}

func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFeed(1)
		f.limit = 2
		defer openStream(t, f, &slowWriter{})()
		leave := openStream(t, f, &slowWriter{})
		h, _ := logged(f)
		w := get(t, h, "/api/v1/events")
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("the third of two streams answers %d, Retry-After %q; want 503 with a time", w.Code, w.Header().Get("Retry-After"))
		}
		leave()
		synctest.Wait()
		defer openStream(t, f, &slowWriter{})()
		if got := subscribers(f); got != 2 {
			t.Errorf("%d streams after one left and one came, want 2: a place must come free", got)
		}
	})
}

func TestPublishAndReadTogether(t *testing.T) {
	f := twoFleets()
	h, _ := logged(f)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 50 {
				get(t, h, "/api/v1/status")
				get(t, h, "/api/v1/history")
			}
		})
	}
	for i := range 200 {
		f.Publish(snapshotOf(chat, i+2, i%7))
	}
	readers.Wait()
}
