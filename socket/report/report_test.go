package report

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAQuantileIsNeverBelowTheTruthAndAtMostASixteenthAbove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(2*time.Minute)).Draw(t, "duration"))
		var h Histogram
		h.Observe(d)
		got := h.Counts().Quantile(0.95)
		most := max(time.Microsecond, d+d/steps+time.Microsecond)
		if got < d || got > most {
			t.Fatalf("the quantile of %s alone is %s: want %s to %s", d, got, d, most)
		}
	})
}

func TestBucketsAreInOrderAndMeetTheirEdges(t *testing.T) {
	for b := range buckets - 1 {
		if upperEdge(b) >= upperEdge(b+1) {
			t.Fatalf("bucket %d ends at %s, the next at %s: quantiles would jump back", b, upperEdge(b), upperEdge(b+1))
		}
		if got := bucketOf(upperEdge(b)); got != b {
			t.Fatalf("%s is the edge of bucket %d and fell into %d", upperEdge(b), b, got)
		}
		if got := bucketOf(upperEdge(b) + 1); got != b+1 {
			t.Fatalf("%s is just above bucket %d and fell into %d", upperEdge(b)+1, b, got)
		}
	}
	for _, d := range []time.Duration{-time.Hour, math.MinInt64, 0} {
		if bucketOf(d) != 0 {
			t.Errorf("%s fell into bucket %d", d, bucketOf(d))
		}
	}
	if bucketOf(math.MaxInt64) != buckets-1 {
		t.Error("an endless time is not in the last bucket")
	}
}

func TestQuantilesOfManyDurations(t *testing.T) {
	var h Histogram
	for i := 1; i <= 1000; i++ {
		h.Observe(time.Duration(i) * time.Millisecond)
	}
	c := h.Counts()
	if got := c.Quantile(0.95); got < 950*time.Millisecond || got > 1020*time.Millisecond {
		t.Errorf("p95 of 1 to 1000 ms is %s", got)
	}
	if got := c.Below(500 * time.Millisecond); got < 460 || got > 500 {
		t.Errorf("%d of 1 to 1000 ms are at most 500 ms", got)
	}
	if (&Counts{}).Quantile(0.95) != 0 {
		t.Error("the quantile of nothing is not 0")
	}
	if c.Total != 1000 || c.Sum != 500500*time.Millisecond {
		t.Errorf("total %d, sum %s", c.Total, c.Sum)
	}
}

func TestRatesForgetWhatIsOlderThanTheWindow(t *testing.T) {
	var m Meter
	start := time.Unix(0, 0)
	if got := m.Rates(start); got != (Rates{}) {
		t.Fatalf("rates before anything happened are %+v", got)
	}
	for second := 1; second <= 5; second++ {
		for range 10 {
			m.CountAccepted()
			m.CountDelivered(100 * time.Millisecond)
			m.CountHandshake()
		}
		m.CountRefused()
		got := m.Rates(start.Add(time.Duration(second) * time.Second))
		if got.MessagesPerSecond != 20 || got.HandshakesPerSecond != 10 || got.RefusedPerSecond != 1 {
			t.Fatalf("rates after %d s of 20 messages, 10 handshakes and one refusal a second are %+v", second, got)
		}
		if got.P95Latency < 100*time.Millisecond || got.P95Latency > 107*time.Millisecond {
			t.Fatalf("p95 of 100 ms is %s", got.P95Latency)
		}
	}
	var got Rates
	for second := 6; second <= 11; second++ {
		got = m.Rates(start.Add(time.Duration(second) * time.Second))
	}
	if got != (Rates{}) {
		t.Errorf("after a quiet window the rates are %+v", got)
	}
	if want := (Totals{Accepted: 50, Delivered: 50, Handshakes: 50, Refused: 5}); m.Totals() != want {
		t.Errorf("totals are %+v, want %+v", m.Totals(), want)
	}
	if m.Latency().Total != 50 {
		t.Errorf("%d latencies are counted, want 50", m.Latency().Total)
	}
}

func TestTwoReadingsAtOneMomentAreNotADivisionByZero(t *testing.T) {
	var m Meter
	m.CountAccepted()
	m.Rates(time.Unix(0, 0))
	m.CountAccepted()
	if got := m.Rates(time.Unix(0, 0)); got != (Rates{}) {
		t.Errorf("rates over no time are %+v", got)
	}
}

// post collects heartbeats and fails while it is told to.
type post struct {
	mu    sync.Mutex
	beats []load.Heartbeat
	down  bool
	hang  bool
}

func (p *post) send(ctx context.Context, beat load.Heartbeat) error {
	p.mu.Lock()
	down, hang := p.down, p.hang
	p.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if down {
		return errors.New("connection refused")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.beats = append(p.beats, beat)
	return nil
}

func (p *post) set(down, hang bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down, p.hang = down, hang
}

func (p *post) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.beats)
}

func reporter(p *post, out *bytes.Buffer) *Reporter {
	collect := func() load.Heartbeat { return load.Heartbeat{State: fleet.Serving} }
	return NewReporter(time.Second, 500*time.Millisecond, collect, p.send, slog.New(slog.NewTextHandler(out, nil)))
}

func TestHeartbeatsFollowTheIntervalAndAChangeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p post
		var out bytes.Buffer
		r := reporter(&p, &out)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.Run(ctx); close(done) }()
		<-time.After(3500 * time.Millisecond)
		synctest.Wait()
		if p.count() != 4 {
			t.Errorf("%d heartbeats in 3.5 s, want 4", p.count())
		}
		r.Changed()
		synctest.Wait()
		if got := p.count(); got != 5 {
			t.Errorf("%d heartbeats right after a change, want one more than 4", got)
		}
		for range 1000 {
			r.Changed()
			<-time.After(100 * time.Microsecond)
		}
		synctest.Wait()
		if got := p.count(); got > 7 {
			t.Errorf("%d heartbeats in 100 ms of changes, want at most two more than 5", got)
		}
		cancel()
		<-done
		r.Last(t.Context())
		last := p.beats[len(p.beats)-1]
		if last.State != fleet.Gone || last.Sequence != uint64(len(p.beats)) {
			t.Errorf("the last heartbeat is %s number %d of %d", last.State, last.Sequence, len(p.beats))
		}
	})
}

func TestAnOutageIsCountedAndLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p post
		var out bytes.Buffer
		r := reporter(&p, &out)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.Run(ctx); close(done) }()
		synctest.Wait()
		p.set(true, false)
		<-time.After(3500 * time.Millisecond)
		p.set(false, true) // a paused server: calls hang instead of failing
		<-time.After(3 * time.Second)
		p.set(false, false)
		<-time.After(2 * time.Second)
		synctest.Wait()
		cancel()
		<-done
		if r.Failures() != 6 {
			t.Errorf("%d failures were counted in 6 s of outage, want 6: a hanging call must be cut at its deadline", r.Failures())
		}
		if n := strings.Count(out.String(), "heartbeat not sent"); n != 1 {
			t.Errorf("the outage was logged %d times, want once", n)
		}
		if n := strings.Count(out.String(), "sent again"); n != 1 {
			t.Errorf("its end was logged %d times, want once", n)
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	var m Meter
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.CountDelivered(3 * time.Millisecond)
		}
	})
}

func BenchmarkRates(b *testing.B) {
	var m Meter
	m.CountDelivered(time.Millisecond)
	now := time.Unix(0, 0)
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		m.Rates(now)
	}
}
