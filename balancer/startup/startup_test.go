package startup_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/balancer/startup"
)

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }

func TestStartsAreMeasuredFromKnownToServing(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	var s startup.Starts
	s = s.See(p, at(0), 3, 3)
	if d, measured := s.Time(p); d != p.StartTime || measured {
		t.Fatalf("%s, measured %t: nothing was seen yet", d, measured)
	}
	// Ten pods, one every minute, each of which takes 20 s; the tenth takes 80 s.
	for i := range 10 {
		took := 20
		if i == 9 {
			took = 80
		}
		s = s.See(p, at(100*i+10), 4+i, 3+i)
		s = s.See(p, at(100*i+10+took), 4+i, 4+i)
	}
	if d, measured := s.Time(p); !measured || d != 20*time.Second {
		t.Fatalf("%s, measured %t: nine of ten starts took 20 s", d, measured)
	}
	s = s.See(p, at(2000), 15, 13)
	s = s.See(p, at(2100), 15, 15)
	if d, _ := s.Time(p); d != 100*time.Second {
		t.Fatalf("%s: three of twelve took 80 s and more", d)
	}
	p.Learn.StartTimeMost = time.Minute
	if d, _ := s.Time(p); d != time.Minute {
		t.Fatalf("%s: no longer start than a minute is looked ahead for", d)
	}
	p.Learn.StartTimes = false
	if d, measured := s.Time(p); d != p.StartTime || measured {
		t.Fatalf("%s, measured %t with learning off", d, measured)
	}
}

func TestWhatNeverServedIsNoStart(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	var s startup.Starts
	s = s.See(p, at(0), 2, 2)
	s = s.See(p, at(10), 8, 2) // six are asked for,
	s = s.See(p, at(20), 4, 2) // four of them are taken back,
	s = s.See(p, at(30), 4, 4) // two begin to serve,
	s = s.See(p, at(40), 3, 3) // and one dies.
	if want := []float64{20, 20}; cmp.Diff(want, s.Took) != "" || len(s.Waiting) != 0 {
		t.Fatalf("starts took %v, %v wait: want %v and none", s.Took, s.Waiting, want)
	}
	s = s.See(p, at(50), 4, 3)
	s = s.See(p, at(50+1200), 4, 4)
	if len(s.Took) != 2 {
		t.Fatalf("starts took %v: a pod that came after %s was given up", s.Took, p.StartTimeout)
	}
}

// Whatever comes and goes, the record is bounded, reads as it was written, and no start is negative or longer than was waited for.
func TestTheRecordIsBoundedAndSound(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	rapid.Check(t, func(t *rapid.T) {
		var s startup.Starts
		now := begin
		for range rapid.IntRange(1, 150).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "seconds")) * time.Second)
			known := rapid.IntRange(0, 2000).Draw(t, "known")
			body, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			next := s.See(p, now, known, rapid.IntRange(0, known).Draw(t, "served"))
			if after, _ := json.Marshal(s); string(after) != string(body) {
				t.Fatal("the record was changed in place: a second decision on it would differ")
			}
			s = next
			if err := s.Validate(now); err != nil {
				t.Fatal(err)
			}
			if d, _ := s.Time(p); d < 0 || d > p.Learn.StartTimeMost {
				t.Fatalf("a start takes %s", d)
			}
			waiting := 0
			for _, g := range s.Waiting {
				waiting += g.Pods
			}
			if waiting > s.Known-s.Served {
				t.Fatalf("%d wait of %d that do not serve", waiting, s.Known-s.Served)
			}
		}
		body, err := json.Marshal(s)
		if err != nil || len(body) > 3000 {
			t.Fatalf("the record has %d bytes, %v", len(body), err)
		}
		if back := s.Shifted(-7_000_000); back.Validate(now.Add(-7*time.Second)) != nil {
			t.Fatal("a clock that was set spoils the record")
		}
	})
}

func TestAFalseRecordIsRefused(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]startup.Starts{
		"pods of the future":   {Waiting: []startup.Group{{At: begin.UnixMicro() + 1, Pods: 1}}},
		"no pods":              {Waiting: []startup.Group{{At: 1}}},
		"pods out of order":    {Waiting: []startup.Group{{At: 2, Pods: 1}, {At: 1, Pods: 1}}},
		"too many groups":      {Waiting: make([]startup.Group, 40)},
		"too many starts":      {Took: make([]float64, 40)},
		"a start of minus one": {Took: []float64{-1}},
		"an endless start":     {Slow: 1e300},
	} {
		if s.Validate(begin) == nil {
			t.Errorf("%s: believed", name)
		}
	}
}
