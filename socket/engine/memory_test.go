package engine_test

import (
	"encoding/binary"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/socket/engine"
)

// heap is what lives after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what pools hold survives one collection
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// allocated is everything that was ever allocated.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func TestAHeaderThatClaimsMuchAllocatesNothing(t *testing.T) {
	r := start(t, quick(), newHost())
	for _, size := range []uint64{1 << 31, 1 << 32, 1 << 40, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
		t.Run(strconv.FormatUint(size, 10), func(t *testing.T) {
			c := connect(t, r.addr)
			s := <-r.sessions
			header := binary.BigEndian.AppendUint64([]byte{fin | text, 0x80 | 127}, size)
			before := allocated()
			c.send(t, append(header, key[:]...))
			if got := c.events(t); got[0] != "close:1009" {
				t.Errorf("got %q, want 1009", got)
			}
			if grew := allocated() - before; grew > 64<<10 {
				t.Errorf("14 bytes made the process allocate %d bytes: a few of them would end it", grew)
			}
			_ = c.Close()
			closedWith(t, s)
		})
	}
}

func TestMemoryFollowsWhatArrivedNotWhatWasClaimed(t *testing.T) {
	const clients = 200
	inBubble(t, func(*engine.Options) {}, func(b bubble) {
		t, p := b.T, b.pipes
		var all []*raw
		for range clients {
			all = append(all, shakePipe(t, p))
		}
		before := heap()
		for _, c := range all {
			c.send(t, append(claim(fin|text, protocol.MaxFrameBytes), masked("just these few bytes")...))
		}
		synctest.Wait() // everything that was sent is read
		if after := heap(); after > before && (after-before)/clients > 1<<10 {
			t.Errorf("each client that claims 64 KiB and sends 20 bytes costs %d bytes", (after-before)/clients)
		}
		for _, c := range all {
			_ = c.Close()
		}
	})
}

func TestAnIdleConnectionIsSmall(t *testing.T) {
	const clients = 200
	r := start(t, quick(), newHost())
	before := heap()
	for range clients {
		connect(t, r.addr)
		<-r.sessions
	}
	// Both ends live in this process, the test's with a buffer of 4 KiB.
	if each := (heap() - before) / clients; each > 16<<10 {
		t.Errorf("an idle connection costs %d bytes of heap", each)
	}
}
