package recording_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"testing"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest/recording"
)

// FuzzRead takes lines of text, since gzip's checksum would hide everything behind it. What is read can be decided on, and can
// be written and read again the same.
func FuzzRead(f *testing.F) {
	for _, h := range []recording.Header{header(), {
		Version: 1, Fleet: chat, Began: noon, Every: recording.MaxEvery, Source: recording.Audit, Coarse: "<b>", Shards: true, Policy: policy.Default(),
		Memory: json.RawMessage(`{"now":"2026-01-01T12:00:00Z"}`),
	}} {
		r, err := gzip.NewReader(bytes.NewReader(written(f, h, story(policy.Default(), 2, func(int) int { return 900 })...)))
		if err != nil {
			f.Fatal(err)
		}
		var text bytes.Buffer
		if _, err := text.ReadFrom(r); err != nil {
			f.Fatal(err)
		}
		f.Add(text.Bytes())
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var file bytes.Buffer
		zip := gzip.NewWriter(&file)
		_, _ = zip.Write(text)
		_ = zip.Close()
		h, frames, err := read(file.Bytes())
		if h.Version == 0 {
			return // no header, no recording
		}
		var s decide.State
		for _, frame := range frames {
			_, s = decide.Next(h.Policy, s, frame.Model)
		}
		again, same, err2 := read(written(t, h, frames...))
		if err2 != nil {
			t.Fatalf("what was read (ending in %v) cannot be read again: %v", err, err2)
		}
		again.Memory, h.Memory = nil, nil // raw JSON, which is written without its spaces
		if diff := alike(h, again) + alike(frames, same); diff != "" {
			t.Fatalf("read, written and read again it is another (-first +second):\n%s", diff)
		}
	})
}
