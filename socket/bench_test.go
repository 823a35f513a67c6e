package socket

import (
	"context"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/inbox"
	"github.com/tidegate/tidegate/socket/report"
)

// sink is a connection that takes everything.
type sink struct{}

func (sink) Send([]byte) bool                 { return true }
func (sink) SendSince([]byte, time.Time) bool { return true }
func (sink) Close(uint16, string)             {}
func (sink) Queued() int                      { return 0 }
func (sink) Remote() string                   { return "" }

func seat(n *node, client string) *resident {
	r := &resident{node: n, conn: sink{}, client: client, shard: shard.Of(client, 1024), pace: rate.NewLimiter(rate.Inf, 1), started: make(chan struct{})}
	r.ctx, r.end = context.WithCancel(context.Background())
	return r
}

func BenchmarkDeliver(b *testing.B) {
	n := &node{topic: "topic", meter: &report.Meter{}}
	r := seat(n, "ada")
	m := inbox.Message{Offset: 12345, From: "bob", ID: "id-000001", Payload: []byte(`{"text":"a message of the usual length, about a hundred bytes long, for a benchmark"}`), At: time.Now(), Fetched: time.Now()}
	b.ReportAllocs()
	for b.Loop() {
		r.Deliver(m)
	}
}

// BenchmarkSurvey is a step of a drain that finds 10,000 sessions.
func BenchmarkSurvey(b *testing.B) {
	n := &node{id: "a", residents: newResidents()}
	table := &shard.Table{Rows: make([]shard.Row, 1024), Nodes: map[fleet.NodeID]shard.Node{"b": {}}}
	for i := range table.Rows {
		table.Rows[i].Owner = "b"
	}
	for i := range 10_000 {
		n.residents.add(seat(n, string(rune('a'+i%26))+time.Duration(i).String()))
	}
	m := &mover{node: n}
	b.ReportAllocs()
	for b.Loop() {
		if found := m.survey(table, time.Now(), true); len(found.ready) != 10_000 {
			b.Fatal(len(found.ready))
		}
	}
}
