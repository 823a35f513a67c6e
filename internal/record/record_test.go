package record_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/record"
)

// appendRecord writes whichever kind the record holds.
func appendRecord(t interface{ Fatalf(string, ...any) }, r record.Record) []byte {
	var value []byte
	var err error
	switch r.Kind {
	case record.KindMessage:
		value, err = r.Message.Append(nil)
	case record.KindSession:
		value, err = r.Session.Append(nil)
	case record.KindMarker:
		value, err = r.Marker.Append(nil)
	}
	if err != nil {
		t.Fatalf("a valid record cannot be written: %v", err)
	}
	return value
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	name := rapid.StringN(1, 20, record.MaxName)
	rapid.Check(t, func(t *rapid.T) {
		want := record.Record{Kind: rapid.SampledFrom([]record.Kind{record.KindMessage, record.KindSession, record.KindMarker}).Draw(t, "kind")}
		switch want.Kind {
		case record.KindMessage:
			want.Message = record.Message{
				From: name.Draw(t, "from"), ID: name.Draw(t, "id"), To: name.Draw(t, "to"),
				Payload: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "payload"),
			}
		case record.KindSession:
			want.Session = record.Session{
				Client: name.Draw(t, "client"), Session: name.Draw(t, "session"),
				Node: fleet.NodeID(name.Draw(t, "node")), Epoch: rapid.Uint64().Draw(t, "epoch"),
			}
		case record.KindMarker:
			want.Marker = record.Marker{Node: fleet.NodeID(name.Draw(t, "node")), Nonce: name.Draw(t, "nonce")}
		}
		got, err := record.Decode(appendRecord(t, want))
		if err != nil {
			t.Fatalf("a written record cannot be read: %v", err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("a record changed on its way through the log (-want +got):\n%s", diff)
		}
	})
}

func TestARecordThatNoNodeWouldReadIsNotWritten(t *testing.T) {
	long := strings.Repeat("x", record.MaxName+1)
	tests := map[string]struct {
		write func() ([]byte, error)
		names string
	}{
		"a message without an id":      {func() ([]byte, error) { return record.Message{From: "a", To: "b"}.Append(nil) }, "id"},
		"a message with a long sender": {func() ([]byte, error) { return record.Message{From: long, ID: "1", To: "b"}.Append(nil) }, "from"},
		"a message with a huge payload": {func() ([]byte, error) {
			return record.Message{From: "a", ID: "1", To: "b", Payload: make([]byte, record.MaxPayload+1)}.Append(nil)
		}, "payload"},
		"a session without a node": {func() ([]byte, error) { return record.Session{Client: "a", Session: "s"}.Append(nil) }, "node"},
		"a marker without a nonce": {func() ([]byte, error) { return record.Marker{Node: "n"}.Append(nil) }, "nonce"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			value, err := test.write()
			if err == nil || !strings.Contains(err.Error(), test.names) {
				t.Fatalf("got error %v: want one that names %q", err, test.names)
			}
			if len(value) != 0 {
				t.Fatalf("a refused record left %d bytes behind", len(value))
			}
		})
	}
}

func TestAValueThatNoNodeWroteIsRefused(t *testing.T) {
	message, err := record.Message{From: "a", ID: "1", To: "b", Payload: []byte("{}")}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	session, err := record.Session{Client: "a", Session: "s", Node: "n", Epoch: 7}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string][]byte{
		"nothing":                        nil,
		"a version alone":                {record.Version},
		"a later version":                append([]byte{record.Version + 1}, message[1:]...),
		"an unknown kind":                append([]byte{record.Version, 9}, message[2:]...),
		"a cut name":                     message[:4],
		"an empty name":                  {record.Version, byte(record.KindMarker), 0, 1, 'n'},
		"a number longer than it needs":  {record.Version, byte(record.KindMarker), 0x81, 0x00, 'n', 1, 'x'},
		"a name longer than the value":   {record.Version, byte(record.KindMarker), 200, 1, 'n'},
		"a session with bytes behind it": append(bytes.Clone(session), 0),
		"a session without an epoch":     session[:len(session)-1],
	}
	for name, value := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := record.Decode(value); err == nil {
				t.Fatalf("%q was read as %+v", value, got)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []record.Record{
		{Kind: record.KindMessage, Message: record.Message{From: "alice", ID: "7", To: "bob", Payload: []byte(`{"a":1}`)}},
		{Kind: record.KindSession, Session: record.Session{Client: "bob", Session: "s", Node: "node-1", Epoch: 1 << 40}},
		{Kind: record.KindMarker, Marker: record.Marker{Node: "node-1", Nonce: "abc"}},
	} {
		f.Add(appendRecord(f, seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		got, err := record.Decode(value)
		if err != nil {
			return
		}
		if again := appendRecord(t, got); !bytes.Equal(again, value) {
			t.Fatalf("a record has two forms: %q and %q", value, again)
		}
	})
}

func BenchmarkDecodeMessage(b *testing.B) {
	value, err := record.Message{From: "client-000001", ID: "0001020304", To: "client-000002", Payload: make([]byte, 100)}.Append(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := record.Decode(value); err != nil {
			b.Fatal(err)
		}
	}
}
