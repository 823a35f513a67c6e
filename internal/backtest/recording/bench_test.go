package recording_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest/recording"
)

// restless are seconds of fifty nodes whose numbers never stand still.
func restless(seconds int) []recording.Frame {
	chance := rand.New(rand.NewPCG(1, 2))
	var s decide.State
	var frames []recording.Frame
	for i := range seconds {
		f := recording.Frame{Model: fleetAt(noon.Add(time.Duration(i)*time.Second), 50, 1000)}
		for j := range f.Model.Nodes {
			n := &f.Model.Nodes[j]
			n.CPU, n.Memory = 0.5+0.1*chance.Float64(), 0.3+0.01*chance.Float64()
			n.Connections, n.MessagesPerSecond = 900+chance.IntN(200), 100+10*chance.Float64()
			n.P95Latency = time.Duration(5e6 + chance.IntN(1e6))
		}
		f.Decision, s = decide.Next(policy.Default(), s, f.Model)
		frames = append(frames, f)
	}
	return frames
}

func BenchmarkRecordASecondOfFiftyNodes(b *testing.B) {
	frames := restless(60)
	w, err := recording.NewWriter(io.Discard, header())
	if err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		if err := w.Write(frames[i%len(frames)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(w.Bytes())/float64(w.Frames()), "file-B/op")
}

func BenchmarkReplayAMinuteOfFiftyNodes(b *testing.B) {
	file := written(b, header(), restless(60)...)
	for b.Loop() {
		r, err := recording.Open(bytes.NewReader(file))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := recording.Replay(b.Context(), r, nil); err != nil {
			b.Fatal(err)
		}
	}
}
