package page

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/internal/fleet"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestTheSnapshotKeepsTheJSONThatThePageReads(t *testing.T) {
	f := NewFeed(10)
	f.Publish(snapshotOf(chat, 0, 4))
	s := snapshotOf(chat, 1, 5)
	s.Nodes = append(s.Nodes, NodeRow{ID: "chat-3", State: fleet.Draining, Connections: 250})
	f.Publish(s)
	body, err := f.latest(chat).encode()
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := json.Indent(&got, body, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	golden := filepath.Join("testdata", "snapshot.json")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the scripts of the page read these names; change both, then run with -update (-want +got):\n%s", diff)
	}
}

func TestTotalsAverageOverServingNodesAndAddUpAll(t *testing.T) {
	rows := []NodeRow{
		{State: fleet.Serving, CPU: 0.2, Memory: 0.3, Connections: 10, MessagesPerSecond: 1, P95: 10, Lag: 4},
		{State: fleet.Serving, CPU: 0.4, Memory: 0.5, Connections: 20, MessagesPerSecond: 2, P95: 30, Lag: 8, Stale: true},
		{State: fleet.Starting, CPU: 0.9, Connections: 1},
		{State: fleet.Leaving, Connections: 5, P95: 99},
		{State: fleet.Draining, Connections: 40, Drain: &Drain{From: 100}},
		{State: fleet.Draining, Connections: 1},
		{State: fleet.Gone},
	}
	got := total(rows)
	want := Totals{
		Serving: 2, Starting: 1, Leaving: 1, Draining: 2, Stale: 1, Connections: 77, MessagesPerSecond: 3,
		CPU: 0.3, Memory: 0.4, MaxCPU: 0.9, MaxMemory: 0.5, P95: 20, MaxP95: 99, Lag: 6, DrainLeft: 40, DrainFrom: 100,
	}
	near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := total(nil); got != (Totals{}) {
		t.Errorf("a fleet without nodes sums up to %+v: an average over nothing must not become NaN, which JSON cannot say", got)
	}
}
