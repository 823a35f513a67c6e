package page

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
)

// large is a snapshot of a fleet of a thousand nodes.
func large() Snapshot {
	s := snapshotOf(chat, 0, 1000)
	one := s.Nodes[0]
	s.Nodes = slices.Repeat([]NodeRow{one}, 1000)
	for i := range s.Nodes {
		s.Nodes[i].ID = fleet.NodeID(fmt.Sprintf("chat-%d", i))
	}
	return s
}

func BenchmarkPublishOfAThousandNodes(b *testing.B) {
	f, s := NewFeed(3600), large()
	b.ReportAllocs()
	for b.Loop() {
		s.Now = s.Now.Add(time.Second)
		f.Publish(s)
	}
}

func BenchmarkEncodeOfAThousandNodes(b *testing.B) {
	s := large()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := newFrame(s).encode(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHistoryOfAnHourAndADay(b *testing.B) {
	f := NewFeed(3600)
	for i := range 30 * 3600 / 10 {
		f.Publish(snapshotOf(chat, i*10, 2+i%3))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := f.past(chat, 0); !ok {
			b.Fatal("the fleet must be known")
		}
	}
}
