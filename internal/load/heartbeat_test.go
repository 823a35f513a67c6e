package load

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

func testBeat() Heartbeat {
	return Heartbeat{
		Version: Version, Fleet: fleet.ID{Namespace: "shop", Name: "chat"}, Node: "chat-1", Incarnation: 12, Sequence: 34,
		State: fleet.Serving, URL: "ws://chat-1:8080", AdminURL: "http://chat-1:9090", CPU: 0.5, Memory: 0.25,
		Connections: 100, MaxConnections: 1000, MessagesPerSecond: 55.5, HandshakesPerSecond: 3, RefusedPerSecond: 1,
		P95Latency: 20 * time.Millisecond, InboxLag: time.Millisecond, Uptime: time.Hour, TableVersion: 9, Fence: 50,
		Shards: []Shard{{ID: 3, Connections: 100, MessagesPerSecond: 55.5, Ready: true}, {ID: 4}},
	}
}

// stamped is the heartbeat as the stamping script stores it.
func stamped(tb testing.TB, beat Heartbeat) []byte {
	tb.Helper()
	body, err := beat.Encode()
	if err != nil {
		tb.Fatal(err)
	}
	return append([]byte("1700000000000 "), body...)
}

func TestDecodeReadsWhatEncodeWroteAndTheServersTime(t *testing.T) {
	t.Parallel()
	want := testBeat()
	got, err := Decode(stamped(t, want))
	want.At = time.UnixMilli(1_700_000_000_000)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the heartbeat changed on its way (-want +got):\n%s", diff)
	}
}

// The node's own idea of the time is nowhere in a heartbeat: only the server's counts.
func TestANodeCannotStampItself(t *testing.T) {
	t.Parallel()
	body := strings.Replace(string(stamped(t, testBeat())), `"version"`, `"at":"2099-01-01T00:00:00Z","At":"2099-01-01T00:00:00Z","version"`, 1)
	got, err := Decode([]byte(body))
	if err != nil || !got.At.Equal(time.UnixMilli(1_700_000_000_000)) {
		t.Errorf("stamp %s, %v: a node with a wrong clock looks fresh for ever", got.At, err)
	}
}

func TestReplayedHeartbeatsReadTheSame(t *testing.T) {
	t.Parallel()
	body := stamped(t, testBeat())
	first, err1 := Decode(body)
	second, err2 := Decode(body)
	if err1 != nil || err2 != nil || !cmp.Equal(first, second) {
		t.Errorf("one heartbeat, two readings: %v, %v", err1, err2)
	}
}

// The reader compares fleet and node with the key it found the heartbeat under, so both must survive.
func TestAForeignHeartbeatSaysWhoseItIs(t *testing.T) {
	t.Parallel()
	beat := testBeat()
	beat.Fleet.Name = "other"
	got, err := Decode(stamped(t, beat))
	if err != nil || got.Fleet.Name != "other" || got.Node != "chat-1" {
		t.Errorf("fleet %s, node %s, %v: the reader could not tell it from its own", got.Fleet, got.Node, err)
	}
}

func TestDecodeRefusesHeartbeatsThatWouldPoisonTheModel(t *testing.T) {
	t.Parallel()
	replace := func(old, with string) string {
		body := string(stamped(t, testBeat()))
		if !strings.Contains(body, old) {
			t.Fatalf("%s is not in %s", old, body)
		}
		return strings.Replace(body, old, with, 1)
	}
	for name, test := range map[string]struct{ body, want string }{
		"nothing":                    {"", "carries no server time"},
		"no stamp":                   {"{}", "carries no server time"},
		"a stamp that is no number":  {"yesterday {}", `server time "yesterday"`},
		"a stamp of zero":            {"0 {}", `server time "0"`},
		"a negative stamp":           {"-5 {}", `server time "-5"`},
		"a stamp beyond all years":   {"253402300800000 {}", `server time "253402300800000": want milliseconds from 1 to 253402300799999`},
		"a stamp of endless digits":  {strings.Repeat("9", 900) + " {}", "server time"},
		"no JSON":                    {"1 hello", "decode heartbeat"},
		"JSON cut short":             {"1 " + `{"version":1`, "unexpected end"},
		"over 1 MiB":                 {"1 " + strings.Repeat(" ", MaxBytes), "has 1048578 bytes: at most 1048576 are read"},
		"an unknown version":         {replace(`"version":1`, `"version":2`), "version 2 is unknown: this build reads 1"},
		"no version":                 {replace(`"version":1,`, ``), "version 0 is unknown"},
		"NaN":                        {replace(`"cpu":0.5`, `"cpu":NaN`), "decode heartbeat"},
		"a number beyond floats":     {replace(`"cpu":0.5`, `"cpu":1e309`), "decode heartbeat"},
		"a number in words":          {replace(`"cpu":0.5`, `"cpu":"half"`), "decode heartbeat"},
		"negative CPU":               {replace(`"cpu":0.5`, `"cpu":-0.1`), "cpu is -0.1: want 0 to 100"},
		"CPU of many machines":       {replace(`"cpu":0.5`, `"cpu":101`), "cpu is 101"},
		"negative memory":            {replace(`"memory":0.25`, `"memory":-1`), "memory is -1"},
		"negative connections":       {replace(`"connections":100,"max`, `"connections":-1,"max`), "connections is -1"},
		"endless connections":        {replace(`"connections":100,"max`, `"connections":99999999999,"max`), "connections is 9.9999999999e+10"},
		"a negative limit":           {replace(`"maxConnections":1000`, `"maxConnections":-1`), "maxConnections is -1"},
		"negative messages":          {replace(`"messagesPerSecond":55.5,"hand`, `"messagesPerSecond":-5,"hand`), "messagesPerSecond is -5"},
		"negative handshakes":        {replace(`"handshakesPerSecond":3`, `"handshakesPerSecond":-3`), "handshakesPerSecond is -3"},
		"negative refusals":          {replace(`"refusedPerSecond":1`, `"refusedPerSecond":-1`), "refusedPerSecond is -1"},
		"negative latency":           {replace(`"p95LatencyNanos":20000000`, `"p95LatencyNanos":-1`), "p95LatencyNanos is -1"},
		"a latency of weeks":         {replace(`"p95LatencyNanos":20000000`, `"p95LatencyNanos":999999999999999`), "p95LatencyNanos is"},
		"negative lag":               {replace(`"inboxLagNanos":1000000`, `"inboxLagNanos":-1`), "inboxLagNanos is -1"},
		"negative uptime":            {replace(`"uptimeNanos":3600000000000`, `"uptimeNanos":-1`), "uptimeNanos is -1"},
		"no fleet":                   {replace(`"fleet":"shop/chat",`, ``), "fleet namespace"},
		"a fleet that breaks keys":   {replace(`shop/chat`, `shop/{chat}`), "use lower-case letters"},
		"no node":                    {replace(`"node":"chat-1"`, `"node":""`), `node "": is empty`},
		"an unknown state":           {replace(`"serving"`, `"happy"`), `"happy" is unknown`},
		"no state":                   {replace(`"state":"serving",`, ``), "state state(0) is unknown"},
		"a table that cannot grow":   {replace(`"tableVersion":9`, `"tableVersion":18446744073709551615`), "tableVersion 18446744073709551615"},
		"a fence that cannot grow":   {replace(`"fence":50`, `"fence":9223372036854775807`), "fence 9223372036854775807"},
		"a negative shard":           {replace(`"id":4`, `"id":-1`), "shard -1 is outside 0 to 65535"},
		"a shard beyond all tables":  {replace(`"id":4`, `"id":65536`), "shard 65536 is outside"},
		"a shard twice":              {replace(`"id":4`, `"id":3`), "shard 3 appears twice"},
		"negative load of a shard":   {replace(`"id":4,"connections":0`, `"id":4,"connections":-2`), "shard 4 has load -2 connections"},
		"endless load of a shard":    {replace(`"id":4,"connections":0`, `"id":4,"connections":99999999999`), "shard 4 has load 99999999999"},
		"negative messages, a shard": {replace(`"id":3,"connections":100,"messagesPerSecond":55.5`, `"id":3,"connections":1,"messagesPerSecond":-1`), "-1 messages/s"},
	} {
		if beat, err := Decode([]byte(test.body)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: beat %+v, error %v: want an error with %q", name, beat, err, test.want)
		}
	}
}

func TestEncodeRefusesWhatNoHealthyNodeWouldSend(t *testing.T) {
	t.Parallel()
	for name, poison := range map[string]float64{"NaN": math.NaN(), "infinite": math.Inf(1), "minus infinite": math.Inf(-1)} {
		for field, set := range map[string]func(*Heartbeat){
			"cpu":                 func(h *Heartbeat) { h.CPU = poison },
			"memory":              func(h *Heartbeat) { h.Memory = poison },
			"messagesPerSecond":   func(h *Heartbeat) { h.MessagesPerSecond = poison },
			"handshakesPerSecond": func(h *Heartbeat) { h.HandshakesPerSecond = poison },
			"refusedPerSecond":    func(h *Heartbeat) { h.RefusedPerSecond = poison },
			"shard 3":             func(h *Heartbeat) { h.Shards[0].MessagesPerSecond = poison },
		} {
			beat := testBeat()
			set(&beat)
			if _, err := beat.Encode(); err == nil || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), "chat-1") {
				t.Errorf("%s %s: error %v: want one that names the node and the field", name, field, err)
			}
		}
	}
}

// A heartbeat that a healthy node can send is always read.
func TestEveryHealthyHeartbeatIsRead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		beat := testBeat()
		beat.CPU, beat.Memory = rapid.Float64Range(0, 100).Draw(t, "cpu"), rapid.Float64Range(0, 100).Draw(t, "memory")
		beat.Connections = rapid.IntRange(0, math.MaxInt32).Draw(t, "connections")
		beat.Uptime = time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "uptime"))
		beat.URL = rapid.String().Draw(t, "url")
		beat.Shards = nil
		for _, id := range rapid.SliceOfNDistinct(rapid.IntRange(0, shard.MaxShards-1), 0, 40, rapid.ID[int]).Draw(t, "shards") {
			beat.Shards = append(beat.Shards, Shard{ID: shard.ID(id), Ready: rapid.Bool().Draw(t, "ready")})
		}
		body, err := beat.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(append([]byte("5 "), body...))
		if err != nil {
			t.Fatalf("a healthy node counts as silent: %v", err)
		}
		got.At = time.Time{}
		if diff := cmp.Diff(beat, got); diff != "" {
			t.Fatalf("the heartbeat changed on its way:\n%s", diff)
		}
	})
}

// Whatever decodes is sound: its numbers are finite and in bounds, and it can be written and read again.
func FuzzDecodeHeartbeat(f *testing.F) {
	f.Add(stamped(f, testBeat()))
	f.Add([]byte(`1 {"version":1,"fleet":"a/b","node":"n","state":"gone"}`))
	f.Add([]byte(`9 {"version":1,"fleet":"a/b","node":"n","state":"serving","cpu":1e308,"shards":[{"id":1},{"id":1}]}`))
	f.Add([]byte(`-1 {"version":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		beat, err := Decode(body)
		if err != nil {
			return
		}
		if err := beat.Validate(); err != nil {
			t.Fatalf("it decodes but is not sound: %v", err)
		}
		for _, number := range []float64{beat.CPU, beat.Memory, beat.MessagesPerSecond, beat.HandshakesPerSecond, beat.RefusedPerSecond} {
			if math.IsNaN(number) || math.IsInf(number, 0) || number < 0 {
				t.Fatalf("%v would poison an average", number)
			}
		}
		for _, s := range beat.Shards {
			if math.IsNaN(s.MessagesPerSecond) || math.IsInf(s.MessagesPerSecond, 0) || s.ID < 0 || s.ID >= shard.MaxShards {
				t.Fatalf("shard %+v would poison the placement", s)
			}
		}
		if beat.At.UnixMilli() <= 0 {
			t.Fatalf("stamp %s", beat.At)
		}
		again, err := beat.Encode()
		if err != nil {
			t.Fatalf("it cannot be written again: %v", err)
		}
		same, err := Decode(fmt.Appendf(nil, "%d %s", beat.At.UnixMilli(), again))
		if err != nil {
			t.Fatalf("it cannot be read again: %v", err)
		}
		beat.Shards, same.Shards = dropEmpty(beat.Shards), dropEmpty(same.Shards)
		if diff := cmp.Diff(beat, same); diff != "" {
			t.Fatalf("it changed on its way:\n%s", diff)
		}
	})
}

func dropEmpty(shards []Shard) []Shard {
	if len(shards) == 0 {
		return nil
	}
	return shards
}

func BenchmarkDecodeHeartbeatOf64Shards(b *testing.B) {
	b.ReportAllocs()
	beat := testBeat()
	beat.Shards = nil
	for i := range 64 {
		beat.Shards = append(beat.Shards, Shard{ID: shard.ID(i), Connections: 100})
	}
	body, err := json.Marshal(beat)
	if err != nil {
		b.Fatal(err)
	}
	body = append([]byte("1700000000000 "), body...)
	for b.Loop() {
		if _, err := Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}
