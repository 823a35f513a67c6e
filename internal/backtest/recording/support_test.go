package recording_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest/recording"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

var (
	chat = fleet.ID{Namespace: "shop", Name: "chat"}
	noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
)

func header() recording.Header {
	return recording.Header{
		Version: recording.Version, Fleet: chat, Began: noon, Every: time.Second, Source: recording.Heartbeats, Policy: policy.Default(),
	}
}

// fleetAt is a fleet of nodes with this many clients each, which cost 0.0006 CPU a client.
func fleetAt(at time.Time, nodes, clients int) load.Fleet {
	f := load.Fleet{ID: chat, Now: at, Reachable: true}
	for i := range nodes {
		f.Nodes = append(f.Nodes, load.Node{
			Heartbeat: load.Heartbeat{
				Version: load.Version, Fleet: chat, Node: fleet.NodeID(fmt.Sprintf("chat-%02d", i)), Incarnation: 1, Sequence: uint64(at.Unix()),
				State: fleet.Serving, CPU: 0.0006 * float64(clients), Memory: 0.2 + 0.0001*float64(clients), Connections: clients,
				MessagesPerSecond: float64(clients) / 10, Uptime: time.Hour, At: at,
			},
			State: fleet.Serving, Since: at.Add(-time.Hour),
		})
	}
	return f
}

// story is what a balancer with this policy saw and decided, second by second.
func story(p policy.Policy, seconds int, clients func(second int) int) []recording.Frame {
	var s decide.State
	var frames []recording.Frame
	for i := range seconds {
		f := recording.Frame{Model: fleetAt(noon.Add(time.Duration(i)*time.Second), 4, clients(i))}
		f.Decision, s = decide.Next(p, s, f.Model)
		frames = append(frames, f)
	}
	return frames
}

func written(tb testing.TB, h recording.Header, frames ...recording.Frame) []byte {
	tb.Helper()
	var file bytes.Buffer
	w, err := recording.NewWriter(&file, h)
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range frames {
		if err := w.Write(f); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return file.Bytes()
}

// read returns all frames and how the file ended, nil for a complete one.
func read(file []byte) (h recording.Header, frames []recording.Frame, end error) {
	r, err := recording.Open(bytes.NewReader(file))
	if err != nil {
		return recording.Header{}, nil, err
	}
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Header(), frames, nil
		}
		if err != nil {
			return r.Header(), frames, err
		}
		frames = append(frames, f)
	}
}

// alike compares what two files say: an empty list and none are the same.
func alike(a, b any) string { return cmp.Diff(a, b, cmpopts.EquateEmpty()) }
