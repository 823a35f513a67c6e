package resolve_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/resolve"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/internal/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	chat = fleet.ID{Namespace: "shop", Name: "chat"}
	feed = fleet.ID{Namespace: "shop", Name: "feed"}
)

// tableOf spreads the shards over nodes, one after the other.
func tableOf(shards, nodes int) *shard.Table {
	table := &shard.Table{Fleet: chat, Version: 7, Rows: make([]shard.Row, shards), Nodes: map[fleet.NodeID]shard.Node{}}
	for i := range nodes {
		id := fleet.NodeID(fmt.Sprintf("chat-7d9c5b8f4-%05d", i))
		table.Nodes[id] = shard.Node{URL: "ws://" + string(id), State: fleet.Serving}
	}
	for i := range table.Rows {
		table.Rows[i].Owner = fleet.NodeID(fmt.Sprintf("chat-7d9c5b8f4-%05d", i%nodes))
	}
	return table
}

func TestLookupNamesTheOwnerOfTheClientsShard(t *testing.T) {
	table := tableOf(64, 5)
	rapid.Check(t, func(r *rapid.T) {
		client := rapid.String().Draw(r, "client")
		answer, ok := resolve.Lookup(table, client)
		owner := table.Rows[shard.Of(client, len(table.Rows))].Owner
		if !ok || answer.Node != owner || answer.URL != table.Nodes[owner].URL || answer.TableVersion != 7 {
			r.Fatalf("client %q is sent to %+v (%v), want the owner %s of its shard", client, answer, ok, owner)
		}
	})
}

func TestLookupWithoutAnOwnerAnswersNothing(t *testing.T) {
	tests := map[string]func(*shard.Table) *shard.Table{
		"no table":               func(*shard.Table) *shard.Table { return nil },
		"no shards":              func(t *shard.Table) *shard.Table { t.Rows = nil; return t },
		"no owner":               func(t *shard.Table) *shard.Table { t.Rows[0].Owner = ""; return t },
		"an owner nobody knows":  func(t *shard.Table) *shard.Table { t.Rows[0].Owner = "stranger"; return t },
		"an owner without a URL": func(t *shard.Table) *shard.Table { t.Nodes[t.Rows[0].Owner] = shard.Node{}; return t },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			if answer, ok := resolve.Lookup(spoil(tableOf(1, 1)), "client"); ok {
				t.Errorf("the client is sent to %+v, where nobody serves it", answer)
			}
		})
	}
}

type tables map[fleet.ID]*shard.Table

func (t tables) Latest(id fleet.ID) (*shard.Table, time.Time, bool) {
	table, ok := t[id]
	return table, time.Time{}, ok
}

func (t tables) Fleets() []fleet.ID {
	var ids []fleet.ID
	for _, id := range []fleet.ID{chat, feed} {
		if _, ok := t[id]; ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// verifier knows the tokens "good" and "later".
type verifier struct{}

func (verifier) Verify(_ context.Context, raw string) (token.Identity, error) {
	switch raw {
	case "good":
		return token.Identity{Client: "anna"}, nil
	case "later":
		return token.Identity{}, token.ErrUnavailable
	default:
		return token.Identity{}, token.ErrRefused
	}
}

func TestHandler(t *testing.T) {
	one, two := tables{chat: tableOf(64, 5)}, tables{chat: tableOf(64, 5), feed: tableOf(8, 1)}
	tests := map[string]struct {
		tables tables
		method string
		target string
		auth   string
		status int
		body   string
		header string
	}{
		"a token in the header":               {one, "GET", "/", "Bearer good", 200, `"tableVersion":7`, ""},
		"a token in the address":              {one, "GET", "/?token=good", "", 200, `"url":"ws://`, ""},
		"no token":                            {one, "GET", "/", "", 401, "no token", "Www-Authenticate"},
		"a wrong token":                       {one, "GET", "/", "Bearer bad", 401, "refused", "Www-Authenticate"},
		"keys that were never read":           {one, "GET", "/", "Bearer later", 503, "retryAfterMs", "Retry-After"},
		"a client id where dev mode is off":   {one, "GET", "/?clientId=anna", "", 401, "no token", ""},
		"the fleet by name":                   {two, "GET", "/?fleet=shop/feed", "Bearer good", 200, "chat-7d9c5b8f4-00000", ""},
		"several fleets and none named":       {two, "GET", "/", "Bearer good", 400, "?fleet=namespace/name", ""},
		"a fleet that is no id":               {two, "GET", "/?fleet=feed", "Bearer good", 400, "namespace/name", ""},
		"a fleet that nobody knows":           {two, "GET", "/?fleet=shop/other", "Bearer good", 404, "shop/other", ""},
		"no fleet at all":                     {tables{}, "GET", "/", "Bearer good", 503, "no fleet", "Retry-After"},
		"a fleet that has no table yet":       {tables{chat: nil}, "GET", "/", "Bearer good", 503, "retryAfterMs", "Retry-After"},
		"a method that means nothing":         {one, "POST", "/", "Bearer good", 405, "use GET", "Allow"},
		"a browser that asks what is allowed": {one, "OPTIONS", "/", "", 204, "", "Access-Control-Allow-Headers"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			counted := 0
			handler := resolve.Handler(resolve.Config{
				Tables: test.tables, Verifier: verifier{}, Raw: token.FromRequest,
				Count: func(status int) { counted = status }, Logger: slog.New(slog.DiscardHandler),
			})
			request := httptest.NewRequest(test.method, test.target, nil)
			if test.auth != "" {
				request.Header.Set("Authorization", test.auth)
			}
			response := httptest.NewRecorder()
			handler.ServeHTTP(response, request)
			body := response.Body.String()
			if response.Code != test.status || !strings.Contains(body, test.body) {
				t.Errorf("answered %d %s, want %d with %q", response.Code, body, test.status, test.body)
			}
			if test.header != "" && response.Header().Get(test.header) == "" {
				t.Errorf("header %s is missing", test.header)
			}
			if counted != test.status && test.status != http.StatusNoContent {
				t.Errorf("counted status %d, want %d", counted, test.status)
			}
			if body != "" && !json.Valid([]byte(body)) {
				t.Errorf("%q is no JSON", body)
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, nodes := range []int{10, 1000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			table := tableOf(8192, nodes)
			clients := make([]string, 1024)
			for i := range clients {
				clients[i] = fmt.Sprintf("client-%08d", i)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, ok := resolve.Lookup(table, clients[i&1023]); !ok {
					b.Fatal("no owner")
				}
				i++
			}
		})
	}
}
