package protocol_test

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/protocol"
)

func BenchmarkDecodeClientMessage(b *testing.B) {
	data := []byte(`{"type":"message","id":"0198c3f2-1","to":"client-000123","payload":{"text":"hello over there","n":17}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := protocol.DecodeClient(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendMessage(b *testing.B) {
	frame := protocol.Message{
		ID: "0198c3f2-1", From: "client-000123", Offset: protocol.Offset{Topic: "abcdefghijklmnopqrstuv", Value: 123456},
		Payload: []byte(`{"text":"hello over there","n":17}`), TS: time.UnixMilli(1_700_000_000_000),
	}
	buffer := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		buffer = frame.Append(buffer[:0])
	}
}
