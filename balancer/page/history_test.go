package page

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
)

func TestHistoryStaysInsideItsBounds(t *testing.T) {
	const fine = 50
	f := NewFeed(fine)
	day := 26 * 60 * 60 / 10
	for i := range day {
		f.Publish(snapshotOf(chat, i*10, 2+i%2))
	}
	past, _ := f.past(chat, 0)
	if got, most := len(past.Columns.At), fine+coarsePoints; got > most {
		t.Errorf("a fleet that runs for days keeps %d points, at most %d: memory would grow for ever", got, most)
	}
	if got := len(past.Changes); got != keptChanges {
		t.Errorf("%d decisions are kept, want the newest %d", got, keptChanges)
	}
	span := past.Columns.At[len(past.Columns.At)-1] - past.Columns.At[0]
	if hours := span / 3600; hours < 23.9 || hours > 24.1 {
		t.Errorf("the history reaches back %.1f hours, want a day", hours)
	}
}

func TestHistoryRisesInTimeWhateverTheClockDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := NewFeed(rapid.IntRange(0, 20).Draw(t, "points"))
		jumps := rapid.SliceOfN(rapid.IntRange(-300, 120), 1, 80).Draw(t, "jumps")
		at := 100_000
		for _, jump := range jumps {
			at += jump
			f.Publish(snapshotOf(chat, at, 3))
		}
		past, ok := f.past(chat, 0)
		if !ok {
			t.Fatal("the fleet was published and must be known")
		}
		times := past.Columns.At
		for i := 1; i < len(times); i++ {
			if times[i] <= times[i-1] {
				t.Fatalf("point %d at %v follows %v: a chart's axis must rise", i, times[i], times[i-1])
			}
		}
		if newest := seconds(noon.Add(time.Duration(at) * time.Second)); times[len(times)-1] != newest {
			t.Fatalf("the newest point is at %v, want %v: a clock set back must not freeze the chart", times[len(times)-1], newest)
		}
	})
}

func TestHistoryListsEachChangeOnceWithTheCountBefore(t *testing.T) {
	f := NewFeed(10)
	undecided := snapshotOf(chat, -1, 0)
	undecided.Decision = decision.Decision{Fleet: chat}
	f.Publish(undecided)
	for i, desired := range []int{4, 4, 6, 6, 6, 5} {
		f.Publish(snapshotOf(chat, i, desired))
	}
	past, _ := f.past(chat, 0)
	var got [][2]int
	for _, change := range past.Changes {
		got = append(got, [2]int{change.From, change.Decision.Desired})
	}
	want := [][2]int{{0, 4}, {4, 6}, {6, 5}}
	if len(got) != len(want) {
		t.Fatalf("changes %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("change %d is %v, want %v", i, got[i], want[i])
		}
	}
	if from := f.latest(chat).snapshot.From; from != 6 {
		t.Errorf("the newest snapshot comes from %d, want 6: a live page would miss the change", from)
	}
}

func TestACoarsePointKeepsTheWorstOfItsMinute(t *testing.T) {
	h := newHistory(1)
	s := snapshotOf(chat, 0, 3)
	for i, cpu := range []float64{0.2, 0.95, 0.3} {
		p := pointOf(s)
		p.At += float64(i)
		p.CPU, p.P95Millis, p.Urgency, p.Desired = cpu, cpu*100, int(cpu*3), 3+i
		h.add(p, s.Decision)
	}
	if h.coarse.len() != 1 {
		t.Fatalf("three seconds make %d coarse points, want 1", h.coarse.len())
	}
	got := *h.coarse.last()
	if got.CPU != 0.95 || got.P95Millis != 95 || got.Urgency != 2 || got.Desired != 5 {
		t.Errorf("got %+v: a burst must stay visible (worst load, newest counts)", got)
	}
}

func TestHistorySinceLeavesOutWhatTheBrowserHas(t *testing.T) {
	f := NewFeed(100)
	for i := range 10 {
		f.Publish(snapshotOf(chat, i, 3))
	}
	past, _ := f.past(chat, seconds(noon)+6)
	if got := len(past.Columns.At); got != 3 {
		t.Errorf("%d points after second 6 of 0 to 9, want 3", got)
	}
}

func TestDrainProgressCountsFromWhatTheNodeHeld(t *testing.T) {
	f := NewFeed(10)
	publish := func(second, connections int, draining bool) Snapshot {
		s := snapshotOf(chat, second, 2)
		s.Nodes = s.Nodes[:1]
		s.Nodes[0].Connections = connections
		if draining {
			s.Nodes[0].State = fleet.Draining
		}
		f.Publish(s)
		return f.latest(chat).snapshot
	}
	publish(0, 500, false)
	publish(1, 480, true)
	s := publish(2, 120, true)
	if drain := s.Nodes[0].Drain; drain == nil || drain.From != 480 || s.Totals.DrainFrom != 480 || s.Totals.DrainLeft != 120 {
		t.Errorf("drain %+v, totals %+v: want 120 of 480 left", drain, s.Totals)
	}
	publish(3, 0, false)
	if s := publish(4, 60, true); s.Nodes[0].Drain.From != 60 {
		t.Errorf("a second drain counts from %d, want 60: the first one's figure must not linger", s.Nodes[0].Drain.From)
	}
}
