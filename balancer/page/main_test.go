package page

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	chat  = fleet.ID{Namespace: "prod", Name: "chat"}
	games = fleet.ID{Namespace: "prod", Name: "games"}
	noon  = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
)

// snapshotOf is a small fleet at noon plus so many seconds, with a desired count.
func snapshotOf(id fleet.ID, second, desired int) Snapshot {
	now := noon.Add(time.Duration(second) * time.Second)
	return Snapshot{
		Fleet: id, Now: now, Leader: "balancer-0", TableVersion: 7,
		Decision: decision.Decision{
			Fleet: id, Sequence: uint64(desired), Desired: desired, At: now, RefreshedAt: now, ExpiresAt: now.Add(90 * time.Second),
			Reason: decision.ReasonDemand, Note: "room for 5 nodes' clients", Policy: "count", Mode: "act",
			Working: decision.Working{Forecast: 2100.4, ConnectionsPerPod: 1000},
		},
		Nodes: []NodeRow{
			{
				ID: "chat-1", State: fleet.Serving, CPU: 0.5, Memory: 0.4, Connections: 900, MessagesPerSecond: 40.26,
				P95: 12 * time.Millisecond, Lag: 4 * time.Millisecond, Weight: 0.3, Shards: 33, Age: 400 * time.Millisecond,
			},
			{
				ID: "chat-2", State: fleet.Serving, CPU: 0.7, Memory: 0.6, Connections: 1100, MessagesPerSecond: 60,
				P95: 18 * time.Millisecond, Lag: 6 * time.Millisecond, Weight: 0.1, Shards: 31, Warming: 1, Stale: true, Age: 4 * time.Second,
			},
		},
		Moves: 1,
	}
}

// logged is a handler and what it logs.
func logged(f *Feed) (http.Handler, *bytes.Buffer) {
	var log bytes.Buffer
	return Handler(f, slog.New(slog.NewTextHandler(&log, nil))), &log
}

func get(t *testing.T, h http.Handler, target string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	return w
}

func decode[T any](t *testing.T, body io.Reader) T {
	t.Helper()
	var value T
	if err := json.NewDecoder(body).Decode(&value); err != nil {
		t.Fatalf("the answer is not JSON: %v", err)
	}
	return value
}
