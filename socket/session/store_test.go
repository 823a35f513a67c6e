package session

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/redisconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var chat = fleet.ID{Namespace: "shop", Name: "chat"}

func open(t *testing.T) (*miniredis.Miniredis, *Store) {
	t.Helper()
	server := miniredis.RunT(t)
	server.SetTime(time.UnixMilli(1_700_000_000_000))
	client, err := redisconn.Open(redisconn.Options{Addrs: []string{server.Addr()}, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return server, NewStore(client, chat, 5*time.Minute, 5*time.Second)
}

func at(value int64) protocol.Offset { return protocol.Offset{Topic: "t1", Value: value} }

func TestEachStartRaisesTheEpochAndKeepsTheOffset(t *testing.T) {
	server, store := open(t)
	start := func(r Record) (uint64, Record, bool) {
		t.Helper()
		epoch, before, found, err := store.Start(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return epoch, before, found
	}
	epoch, _, found := start(Record{Client: "ada", Session: "s1", Node: "chat-a"})
	if epoch != 1 || found {
		t.Fatalf("a newcomer starts with epoch %d, found %t", epoch, found)
	}
	if err := store.Put(t.Context(), []Record{{Client: "ada", Session: "s1", Epoch: 1, Node: "chat-a", Offset: at(41)}}); err != nil {
		t.Fatal(err)
	}
	epoch, before, found := start(Record{Client: "ada", Session: "s1", Node: "chat-b"})
	want := Record{Client: "ada", Session: "s1", Epoch: 1, Node: "chat-a", Offset: at(41)}
	if epoch != 2 || !found || before != want {
		t.Fatalf("the second start is epoch %d after %+v, want 2 after %+v", epoch, before, want)
	}
	epoch, before, _ = start(Record{Client: "ada", Session: "s1", Node: "chat-a", Epoch: 7, Offset: at(50)})
	if epoch != 8 || before.Offset != at(41) {
		t.Fatalf("with a token of epoch 7 the epoch is %d after offset %s, want 8 after t1:41", epoch, before.Offset)
	}
	if got := server.HGet(keys.Session(chat, "ada"), "offset"); got != "50" {
		t.Errorf("the record's offset is %s, want the client's own", got)
	}
	if ttl := server.TTL(keys.Session(chat, "ada")); ttl != 6*time.Minute {
		t.Errorf("the record lives %s, want the window and a minute", ttl)
	}
}

func TestALateWriteOfAnOlderSessionChangesNothing(t *testing.T) {
	server, store := open(t)
	newer := Record{Client: "ada", Session: "s2", Epoch: 5, Node: "chat-b", Offset: at(9)}
	if err := store.Put(t.Context(), []Record{newer, {Client: "ada", Session: "s1", Epoch: 4, Node: "chat-a", Offset: at(2)}}); err != nil {
		t.Fatal(err)
	}
	if got := server.HGet(keys.Session(chat, "ada"), "node"); got != "chat-b" {
		t.Errorf("the record names %s: an older node took the session back", got)
	}
	if got := server.HGet(keys.Session(chat, "ada"), "offset"); got != "9" {
		t.Errorf("the record's offset went back to %s", got)
	}
}

func TestARecordOfNonsenseCountsAsNone(t *testing.T) {
	server, store := open(t)
	tests := map[string][]string{
		"an epoch that is no number":  {"epoch", "x", "session", "s", "node", "n"},
		"a negative epoch":            {"epoch", "-3", "session", "s", "node", "n"},
		"an offset that is no number": {"epoch", "3", "session", "s", "node", "n", "topic", "t", "offset", "many"},
		"a topic that cannot be":      {"epoch", "3", "session", "s", "node", "n", "topic", "a b", "offset", "4"},
	}
	for name, fields := range tests {
		t.Run(name, func(t *testing.T) {
			server.FlushAll()
			server.HSet(keys.Session(chat, "ada"), fields...)
			epoch, before, _, err := store.Start(t.Context(), Record{Client: "ada", Session: "s", Node: "chat-a"})
			if err != nil || epoch == 0 || !before.Offset.IsZero() {
				t.Errorf("start answered epoch %d, offset %s, %v: nonsense in Redis must not keep a client out", epoch, before.Offset, err)
			}
		})
	}
}
