package shard

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// The shards of these clients were worked out by another xxHash64. Their messages are in the logs of every
// fleet: under another hash they would be lost.
func TestAClientsShardNeverChanges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		client string
		count  int
		want   ID
	}{
		{"", 1024, 409}, {"alice", 1024, 73}, {"bob", 1024, 59}, {"alice", 64, 9}, {"клиент", 64, 47}, {"alice", 1, 0},
	} {
		if got := Of(test.client, test.count); got != test.want {
			t.Errorf("client %q is in shard %d of %d: it has always been in %d", test.client, got, test.count, test.want)
		}
	}
}

func TestEveryClientIsInAShardThatExists(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(1, MaxShards).Draw(t, "count")
		if id := Of(rapid.String().Draw(t, "client"), count); id < 0 || int(id) >= count {
			t.Fatalf("shard %d of %d: its log does not exist", id, count)
		}
	})
}

func TestClientsSpreadOverTheShards(t *testing.T) {
	t.Parallel()
	const clients, count = 64_000, 64
	held := make([]int, count)
	for i := range clients {
		held[Of(fmt.Sprintf("client-%d", i), count)]++
	}
	for id, n := range held {
		if n < 800 || n > 1200 {
			t.Errorf("shard %d holds %d of %d clients: an even one holds %d", id, n, clients, clients/count)
		}
	}
}

func BenchmarkOf(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Of("client-123456", 1024)
	}
}
