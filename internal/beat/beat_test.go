package beat_test

import (
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/internal/beat"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/redisconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var chat = fleet.ID{Namespace: "shop", Name: "chat"}

func connect(t *testing.T) (*miniredis.Miniredis, redis.UniversalClient) {
	t.Helper()
	server := miniredis.RunT(t)
	client, err := redisconn.Open(redisconn.Options{Addrs: []string{server.Addr()}, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return server, client
}

func from(node fleet.NodeID) load.Heartbeat {
	return load.Heartbeat{
		Version: load.Version, Fleet: chat, Node: node, Incarnation: 1, Sequence: 1, State: fleet.Serving,
		URL: "ws://" + string(node), AdminURL: "http://" + string(node), CPU: 0.5, Connections: 10,
		Shards: []load.Shard{{ID: 3, Connections: 10, Ready: true}},
	}
}

func TestHeartbeatArrivesWithTheServersTime(t *testing.T) {
	server, client := connect(t)
	want := time.UnixMilli(1_700_000_000_987)
	server.SetTime(want)
	for _, node := range []fleet.NodeID{"chat-b", "chat-a"} {
		stamped, err := beat.Send(t.Context(), client, from(node))
		if err != nil || !stamped.Equal(want) {
			t.Fatalf("sent at %v (%v), want the server's %v", stamped, err, want)
		}
	}
	server.SetTime(want.Add(time.Second))
	beats, now, bad, err := beat.Read(t.Context(), client, chat)
	if err != nil || len(bad) != 0 {
		t.Fatalf("read: %v, bad %v", err, bad)
	}
	if !now.Equal(want.Add(time.Second)) {
		t.Errorf("read at %v, want the server's time", now)
	}
	if len(beats) != 2 || beats[0].Node != "chat-a" || beats[1].Node != "chat-b" {
		t.Fatalf("read %d heartbeats, want chat-a and chat-b in order: %+v", len(beats), beats)
	}
	if !beats[0].At.Equal(want) || beats[0].Shards[0].ID != 3 {
		t.Errorf("heartbeat %+v, want it stamped %v and whole", beats[0], want)
	}
	ids, bad, err := beat.Fleets(t.Context(), client)
	if err != nil || len(bad) != 0 || len(ids) != 1 || ids[0] != chat {
		t.Errorf("fleets %v, bad %v (%v), want the one that sent", ids, bad, err)
	}
}

func TestFleetIsNamedAgainAfterRedisLostIt(t *testing.T) {
	server, client := connect(t)
	for range 2 {
		server.FlushAll()
		if _, err := beat.Send(t.Context(), client, from("chat-a")); err != nil {
			t.Fatal(err)
		}
		if ids, _, err := beat.Fleets(t.Context(), client); err != nil || len(ids) != 1 {
			t.Fatalf("fleets %v (%v): a fleet that Redis forgot would never scale again", ids, err)
		}
	}
}

func TestBadHeartbeatIsNamedAndHurtsNobodyElse(t *testing.T) {
	good, err := func() (string, error) {
		h := from("chat-a")
		body, err := h.Encode()
		return string(body), err
	}()
	if err != nil {
		t.Fatal(err)
	}
	swap := func(old, replacement string) string {
		return "1700000000000 " + strings.Replace(good, old, replacement, 1)
	}
	tests := map[string]struct{ value, want string }{
		"empty":                         {"", "server time"},
		"without a server time":         {good, "server time"},
		"with a negative server time":   {"-5 " + good, "server time"},
		"that is no JSON":               {"1700000000000 {", "decode"},
		"with a CPU that is no number":  {swap(`"cpu":0.5`, `"cpu":NaN`), "decode"},
		"with a negative CPU":           {swap(`"cpu":0.5`, `"cpu":-0.5`), "cpu is -0.5"},
		"with infinite CPU":             {swap(`"cpu":0.5`, `"cpu":1e309`), "decode"},
		"with negative connections":     {swap(`"connections":10`, `"connections":-1`), "connections is -1"},
		"of an unknown version":         {swap(`"version":1`, `"version":99`), "version 99"},
		"in an unknown state":           {swap(`"state":"serving"`, `"state":"dancing"`), "dancing"},
		"of another fleet":              {swap(`"fleet":"shop/chat"`, `"fleet":"shop/other"`), "fleet shop/other"},
		"under another node's name":     {swap(`"node":"chat-a"`, `"node":"chat-z"`), "node chat-z"},
		"over one MiB":                  {"1700000000000 " + strings.Repeat(" ", load.MaxBytes) + good, "bytes"},
		"of a shard that cannot be":     {swap(`"id":3`, `"id":-3`), "shard -3"},
		"with a shard of negative load": {swap(`"messagesPerSecond":0,"ready"`, `"messagesPerSecond":-1,"ready"`), "shard 3"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server, client := connect(t)
			if _, err := beat.Send(t.Context(), client, from("chat-b")); err != nil {
				t.Fatal(err)
			}
			server.HSet(keys.Nodes(chat), "chat-a", test.value)
			beats, _, bad, err := beat.Read(t.Context(), client, chat)
			if err != nil {
				t.Fatal(err)
			}
			if len(bad) != 1 || !strings.Contains(bad[0].Error(), `"chat-a"`) || !strings.Contains(bad[0].Error(), test.want) {
				t.Errorf("bad %v, want one that names chat-a and says %q", bad, test.want)
			}
			if len(beats) != 1 || beats[0].Node != "chat-b" {
				t.Errorf("beats %+v: the neighbour's heartbeat was lost with the bad one", beats)
			}
		})
	}
}

func TestHeartbeatThatNobodyWouldAcceptIsNotSent(t *testing.T) {
	server, client := connect(t)
	wrong := from("chat-a")
	wrong.Memory = -1
	if _, err := beat.Send(t.Context(), client, wrong); err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("send answered %v, want an error that names the field", err)
	}
	if server.Exists(keys.Nodes(chat)) {
		t.Error("the wrong heartbeat was stored")
	}
}

func TestForgottenNodeIsNotRead(t *testing.T) {
	_, client := connect(t)
	for _, node := range []fleet.NodeID{"chat-a", "chat-b", "chat-c"} {
		if _, err := beat.Send(t.Context(), client, from(node)); err != nil {
			t.Fatal(err)
		}
	}
	if err := beat.Forget(t.Context(), client, chat); err != nil {
		t.Errorf("forget nobody: %v", err)
	}
	if err := beat.Forget(t.Context(), client, chat, "chat-a", "chat-c"); err != nil {
		t.Fatal(err)
	}
	beats, _, _, err := beat.Read(t.Context(), client, chat)
	if err != nil || len(beats) != 1 || beats[0].Node != "chat-b" {
		t.Errorf("beats %+v (%v), want only chat-b", beats, err)
	}
}

func TestRedisAwayIsAnErrorNotAnEmptyFleet(t *testing.T) {
	server, client := connect(t)
	server.Close()
	if _, _, _, err := beat.Read(t.Context(), client, chat); err == nil {
		t.Error("an unreadable Redis looked like a fleet without nodes")
	}
	if _, _, err := beat.Fleets(t.Context(), client); err == nil {
		t.Error("an unreadable Redis looked like no fleets")
	}
	if _, err := beat.Send(t.Context(), client, from("chat-a")); err == nil {
		t.Error("a heartbeat to nobody was sent")
	}
	if err := beat.Forget(t.Context(), client, chat, "chat-a"); err == nil {
		t.Error("a node was forgotten by nobody")
	}
}
