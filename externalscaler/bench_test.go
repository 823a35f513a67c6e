package externalscaler_test

import (
	"testing"

	"github.com/tidegate/tidegate/externalscaler"
)

// BenchmarkGetMetrics is one answer, metadata parsed anew, without the network (goal: under 100 µs).
func BenchmarkGetMetrics(b *testing.B) {
	server := externalscaler.New(newBook(decided(7, 6)), quiet())
	request := ask(ref("minReplicas", "2", "maxReplicas", "60", "connectionsPerPod", "5000"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := server.GetMetrics(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGetMetricsLoopback is the same answer over gRPC on this machine.
func BenchmarkGetMetricsLoopback(b *testing.B) {
	c := client(b, newBook(decided(7, 6)))
	request := ask(ref("minReplicas", "2", "maxReplicas", "60", "connectionsPerPod", "5000"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.GetMetrics(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPush is a new decision until its spec has arrived on a stream.
func BenchmarkPush(b *testing.B) {
	book := newBook(decided(1, 6))
	stream, err := client(b, book).StreamMetricSpec(b.Context(), ref())
	if err != nil {
		b.Fatal(err)
	}
	sequence := uint64(1)
	if _, err := stream.Recv(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		sequence++
		book.put(decided(sequence, 6))
		if _, err := stream.Recv(); err != nil {
			b.Fatal(err)
		}
	}
}
