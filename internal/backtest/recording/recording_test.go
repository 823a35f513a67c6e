package recording_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest/recording"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// fill gives every field some value, so that one which a file does not carry shows.
func fill(v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(noon))
		return
	case fleet.ID:
		v.Set(reflect.ValueOf(chat))
		return
	case fleet.State:
		v.Set(reflect.ValueOf(fleet.Serving))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("chat-1")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(0.5)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	default:
		v.SetInt(1)
	}
}

func TestAFileCarriesEveryFieldThatIsDecidedFrom(t *testing.T) {
	t.Parallel()
	var f recording.Frame
	fill(reflect.ValueOf(&f.Model).Elem())
	fill(reflect.ValueOf(&f.Decision).Elem())
	other := policy.Default()
	other.CPUCeiling = 0.7
	f.Policy = &other
	h := header()
	h.Shards, h.Coarse, h.Memory = true, "not at all", json.RawMessage(`{"now":"2026-01-01T12:00:00Z"}`)
	gotHeader, got, err := read(written(t, h, f))
	if err != nil || len(got) != 1 {
		t.Fatalf("%d frames, %v", len(got), err)
	}
	if diff := alike(h, gotHeader); diff != "" {
		t.Errorf("the header changed on its way (-want +got):\n%s", diff)
	}
	want := f
	want.Model.Nodes[0].URL, want.Model.Nodes[0].AdminURL = "", "" // addresses stay at home
	if diff := alike(want, got[0]); diff != "" {
		t.Errorf("a replay would decide on something else (-recorded +read):\n%s", diff)
	}
}

func TestAFileHoldsNoAddressesAndNoShardsUnlessAsked(t *testing.T) {
	t.Parallel()
	f := recording.Frame{Model: fleetAt(noon, 1, 10)}
	f.Model.Nodes[0].URL, f.Model.Nodes[0].AdminURL = "ws://10.1.2.3:8080", "http://10.1.2.3:9090"
	f.Model.Nodes[0].Shards = []load.Shard{{ID: 3, Connections: 10}}
	_, got, err := read(written(t, header(), f))
	if err != nil {
		t.Fatal(err)
	}
	if n := got[0].Model.Nodes[0]; n.URL != "" || n.AdminURL != "" || n.Shards != nil {
		t.Errorf("a file that is handed on tells of %q, %q and %d shards", n.URL, n.AdminURL, len(n.Shards))
	}
	if f.Model.Nodes[0].URL == "" || f.Model.Nodes[0].Shards == nil {
		t.Error("the recorder changed the balancer's own model")
	}
}

func TestAFrameThatNobodyCouldDecideOnIsNotWritten(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(*recording.Frame)
		want  string
	}{
		"NaN":              {func(f *recording.Frame) { f.Model.Nodes[0].CPU = math.NaN() }, "cpu"},
		"NaN in reasons":   {func(f *recording.Frame) { f.Decision.Working.Forecast = math.NaN() }, "NaN"},
		"no time":          {func(f *recording.Frame) { f.Model.Now = time.Time{} }, "now"},
		"a strange fleet":  {func(f *recording.Frame) { f.Model.Nodes[0].Fleet.Name = "other" }, "shop/other"},
		"a node twice":     {func(f *recording.Frame) { f.Model.Nodes = append(f.Model.Nodes, f.Model.Nodes[0]) }, "each once"},
		"more stuck":       {func(f *recording.Frame) { f.Model.Stuck = 3 }, "0 are pending and 3"},
		"another decision": {func(f *recording.Frame) { f.Decision.Fleet.Name = "other" }, "shop/other"},
		"a vast Spec":      {func(f *recording.Frame) { f.Model.Cluster = &load.Cluster{Spec: math.MaxInt} }, "replicas"},
	} {
		f := story(policy.Default(), 1, func(int) int { return 10 })[0]
		test.spoil(&f)
		var file bytes.Buffer
		w, err := recording.NewWriter(&file, header())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(f); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, test.want)
		}
		if err := errors.Join(w.Write(recording.Frame{Model: fleetAt(noon, 2, 10)}), w.Close()); err != nil {
			t.Fatal(err)
		}
		if _, frames, err := read(file.Bytes()); len(frames) != 1 || err != nil {
			t.Errorf("%s: %d frames, %v: one bad reading must not spoil the file", name, len(frames), err)
		}
	}
}

func TestAWrongHeaderIsRefusedInWords(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(*recording.Header)
		want  string
	}{
		"a version of tomorrow": {func(h *recording.Header) { h.Version = 2 }, "version 2 is unknown: this build reads 1"},
		"no fleet":              {func(h *recording.Header) { h.Fleet = fleet.ID{} }, "fleet namespace"},
		"no beginning":          {func(h *recording.Header) { h.Began = time.Time{} }, "began"},
		"every minute":          {func(h *recording.Header) { h.Every = time.Minute }, "everyNanos"},
		"no source":             {func(h *recording.Header) { h.Source = "hearsay" }, "heartbeats or audit"},
	} {
		h := header()
		test.spoil(&h)
		if _, err := recording.NewWriter(io.Discard, h); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, test.want)
		}
	}
}

func TestWhatIsNoRecordingIsSaidSo(t *testing.T) {
	t.Parallel()
	zipped := func(text string) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = w.Write([]byte(text))
		_ = w.Close()
		return out.Bytes()
	}
	for name, test := range map[string]struct {
		file []byte
		want string
	}{
		"nothing":             {nil, "not gzip"},
		"plain text":          {[]byte("time,count\n1,2\n"), "not gzip"},
		"zipped text":         {zipped("time,count\n1,2\n"), "no header"},
		"zipped JSON":         {zipped("{}\n"), "no header"},
		"half a header":       {zipped(`{"format":"tidegate-recording"`), "cannot be read"},
		"a newer format":      {zipped(`{"format":"tidegate-recording","version":9}` + "\n"), "version 9 is unknown"},
		"no policy in it":     {zipped(`{"format":"tidegate-recording","version":1,"fleet":"a/b","began":"2026-01-01T12:00:00Z","everyNanos":1000000000,"source":"audit"}` + "\n"), "policy"},
		"a setting of theirs": {zipped(`{"format":"tidegate-recording","version":1,"fleet":"a/b","began":"2026-01-01T12:00:00Z","everyNanos":1000000000,"source":"audit","policy":{"colour":"red"}}` + "\n"), "colour"},
	} {
		if _, _, err := read(test.file); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, test.want)
		}
	}
}

func TestABrokenLineIsNamedAndEndsTheReading(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	r, err := gzip.NewReader(bytes.NewReader(written(t, header(), recording.Frame{Model: fleetAt(noon, 1, 10)})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := text.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(text.Bytes())
	_, _ = w.Write([]byte("{\"now\":\"yesterday\"}\n"))
	_, _ = w.Write(text.Bytes())
	_ = w.Close()
	_, frames, err := read(out.Bytes())
	if len(frames) != 1 || err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("%d frames, error %v: want the one before the broken line, and its number", len(frames), err)
	}
}

// A decision without a sequence is none: followers see the zero value before the first.
func TestNoDecisionIsReadBackAsNone(t *testing.T) {
	t.Parallel()
	_, frames, err := read(written(t, header(), recording.Frame{Model: fleetAt(noon, 1, 10), Decision: decision.Decision{Fleet: chat}}))
	if err != nil || frames[0].Decision.Sequence != 0 || !frames[0].Decision.ExpiresAt.IsZero() {
		t.Errorf("decision %+v, %v", frames[0].Decision, err)
	}
}
