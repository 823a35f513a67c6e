package engine

import (
	"encoding/binary"
	"testing"

	"github.com/tidegate/tidegate/internal/protocol"
)

type nothing struct{ bytes int }

func (n *nothing) text(data []byte) { n.bytes += len(data) }
func (n *nothing) ping([]byte)      {}
func (n *nothing) closing(uint16)   {}

func TestTheDecoderAllocatesNothingForAClaimAndNothingForAWholeFrame(t *testing.T) {
	var pool buffers
	claim := binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, 1<<62)
	claim = append(claim, 1, 2, 3, 4)
	whole := append([]byte{0x81, 0x85, 0, 0, 0, 0}, "Hello"...)
	to := &nothing{}
	d := &decoder{max: protocol.MaxFrameBytes, pool: &pool}
	if n := testing.AllocsPerRun(100, func() {
		*d = decoder{max: protocol.MaxFrameBytes, pool: &pool}
		if bad := d.feed(claim, to); bad == nil || bad.code != protocol.CloseTooBig {
			t.Fatal("a claim of 2^62 bytes was believed")
		}
	}); n > 1 { // the fault itself
		t.Errorf("a claim makes %v allocations", n)
	}
	*d = decoder{max: protocol.MaxFrameBytes, pool: &pool}
	if n := testing.AllocsPerRun(100, func() {
		if bad := d.feed(whole, to); bad != nil {
			t.Fatal(bad)
		}
	}); n != 0 {
		t.Errorf("a small message makes %v allocations", n)
	}
}

func TestAMessageInPiecesHoldsAtMostTwiceWhatHasCome(t *testing.T) {
	var pool buffers
	d := &decoder{max: protocol.MaxFrameBytes, pool: &pool}
	header := binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, protocol.MaxFrameBytes)
	if bad := d.feed(append(header, 0, 0, 0, 0), &nothing{}); bad != nil {
		t.Fatal(bad)
	}
	if d.message != nil {
		t.Error("memory is held before a byte of the message has come")
	}
	for came := 0; came < protocol.MaxFrameBytes-1000; {
		piece := make([]byte, 1000)
		if bad := d.feed(piece, &nothing{}); bad != nil {
			t.Fatal(bad)
		}
		if came += len(piece); cap(*d.message) > 2*came+1024 {
			t.Fatalf("%d bytes are held for %d that came", cap(*d.message), came)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	var pool buffers
	d := &decoder{max: protocol.MaxFrameBytes, pool: &pool}
	to := &nothing{}
	source := append([]byte{0x81, 0xe4, 0, 0, 0, 0}, make([]byte, 100)...)
	b.SetBytes(int64(len(source)))
	b.ReportAllocs()
	for b.Loop() {
		if bad := d.feed(source, to); bad != nil {
			b.Fatal(bad)
		}
	}
}
