package hindsight_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/balancer/hindsight"
	"github.com/tidegate/tidegate/balancer/policy"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestAScaleInThatIsTakenBackIsRegretted(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	var r hindsight.Record
	now := start
	if r.Regret(p, now) != 0 {
		t.Fatal("a fleet that never shrank regrets something")
	}
	for range 6 {
		r = r.In(p, now, 1)
		now = now.Add(2 * time.Minute)
		r = r.Out(p, now, 1)
		now = now.Add(5 * time.Minute)
	}
	often := r.Regret(p, now)
	if often < 0.5 || often > 1 {
		t.Fatalf("six scale-ins of six were taken back within two minutes: the regret is %v", often)
	}
	if part := hindsight.Room(p, often); part >= p.Hysteresis {
		t.Fatalf("a node leaves below %v of what stays: no lower than ever", part)
	}
	if later := r.Regret(p, now.Add(24*time.Hour)); later > 0.05 {
		t.Fatalf("a day later the regret is still %v", later)
	}
	for range 30 {
		r = r.In(p, now, 1)
		now = now.Add(20 * time.Minute)
	}
	if calm := r.In(p, now, 1).Regret(p, now); calm > 0.1 {
		t.Fatalf("thirty scale-ins that were worth it leave a regret of %v", calm)
	}
	p.Settle.Learn = false
	if r.Regret(p, now) != 0 {
		t.Fatal("with learning off something is regretted")
	}
	if part := hindsight.Room(p, 1); part != p.Hysteresis {
		t.Fatalf("with learning off a node leaves below %v", part)
	}
}

func TestWhatIsNeededLateIsRegrettedLittle(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	regret := func(away time.Duration) float64 {
		var r hindsight.Record
		return r.In(p, start, 4).Out(p, start.Add(away), 4).Regret(p, start.Add(away))
	}
	soon, late, never := regret(time.Minute), regret(12*time.Minute), regret(16*time.Minute)
	if !(soon > late && late > 0 && never == 0) {
		t.Fatalf("after 1, 12 and 16 minutes the regret is %v, %v, %v: sooner must count more, and later than %s not at all", soon, late, never, p.Settle.Worth)
	}
}

func TestANightThatTakesTwentyNodesIsNotRegrettedForOneThatComesBack(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	var r hindsight.Record
	now := start
	for range 20 {
		r = r.In(p, now, 1)
		now = now.Add(3 * time.Minute)
	}
	r = r.Out(p, now, 1)
	if regret := r.Regret(p, now); regret > 0.1 {
		t.Fatalf("one of twenty came back: the regret is %v", regret)
	}
}

// Whatever happens in whatever order, the record is bounded, reads as it was written, and regret is a part.
func TestTheRecordIsBoundedAndSound(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	rapid.Check(t, func(t *rapid.T) {
		var r hindsight.Record
		now := start
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 900).Draw(t, "seconds")) * time.Second)
			count := rapid.IntRange(1, 50).Draw(t, "nodes")
			before := cmp.Diff(r, hindsight.Record{})
			next := r.In(p, now, count)
			if rapid.Bool().Draw(t, "out") {
				next = r.Out(p, now, count)
			}
			if cmp.Diff(r, hindsight.Record{}) != before {
				t.Fatal("the record was changed in place: a second decision on it would differ")
			}
			r = next
			if err := r.Validate(now); err != nil {
				t.Fatal(err)
			}
			if regret := r.Regret(p, now); !(regret >= 0 && regret <= 1) {
				t.Fatalf("regret is %v", regret)
			}
		}
		body, err := json.Marshal(r)
		if err != nil || len(body) > 2000 {
			t.Fatalf("the record has %d bytes, %v", len(body), err)
		}
		var again hindsight.Record
		if err := json.Unmarshal(body, &again); err != nil || cmp.Diff(r, again) != "" && len(r.Leaves) > 0 {
			t.Fatalf("it reads as %+v, %v", again, err)
		}
		if back := r.Shifted(-5_000_000); back.Validate(now.Add(-5*time.Second)) != nil || back.Regret(p, now.Add(-5*time.Second)) != r.Regret(p, now) {
			t.Fatal("a clock that was set changes what is regretted")
		}
	})
}

func TestAFalseRecordIsRefused(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]hindsight.Record{
		"of the future":        {Leaves: []hindsight.Leave{{At: start.UnixMicro() + 1, Nodes: 1}}},
		"of no nodes":          {Leaves: []hindsight.Leave{{At: 1, Nodes: 0}}},
		"out of order":         {Leaves: []hindsight.Leave{{At: 2, Nodes: 1}, {At: 1, Nodes: 1}}},
		"too long":             {Leaves: make([]hindsight.Leave, 33)},
		"judged tomorrow":      {At: start.UnixMicro() + 1},
		"more missed than any": {Missed: 2, Judged: 1},
		"negative":             {Missed: -1},
	} {
		if r.Validate(start) == nil {
			t.Errorf("a record %s is believed", name)
		}
	}
}
