package drain

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var limits = Limits{Rate: 50, Patience: 10 * time.Second, Safety: 2 * time.Second}

func TestOneStep(t *testing.T) {
	tests := []struct {
		name   string
		limits Limits
		in     Situation
		want   Step
	}{
		{
			"with time in plenty the pace is what the others absorb",
			limits,
			Situation{Ready: 100, Left: 300 * time.Second, Since: 100 * time.Millisecond, Targets: 4, Sources: 1},
			Step{Tell: 20, Patience: 10 * time.Second, Pace: 200},
		},
		{
			"two nodes that drain share what the others absorb",
			limits,
			Situation{Ready: 100, Left: 300 * time.Second, Since: 100 * time.Millisecond, Targets: 4, Sources: 2},
			Step{Tell: 10, Patience: 10 * time.Second, Pace: 100},
		},
		{
			"sessions whose shard nobody took over wait while there is time",
			limits,
			Situation{Waiting: 100, Left: 300 * time.Second, Since: 100 * time.Millisecond, Targets: 1, Sources: 1},
			Step{Patience: 10 * time.Second, Pace: 50},
		},
		{
			"sessions whose shard nobody took over are told when the time they need begins",
			limits,
			Situation{Waiting: 300, Left: 14 * time.Second, Since: 100 * time.Millisecond, Targets: 1, Sources: 1},
			Step{Tell: 5, TellWaiting: true, Patience: 6 * time.Second, Pace: 50},
		},
		{
			"with nobody else the clients go at the pace of the node to come",
			limits,
			Situation{Waiting: 100, Left: 300 * time.Second, Since: 100 * time.Millisecond},
			Step{Tell: 5, TellWaiting: true, Patience: 10 * time.Second, Pace: 50},
		},
		{
			"due sessions close at the pace too",
			limits,
			Situation{Told: 50, Due: 40, Left: 300 * time.Second, Since: 100 * time.Millisecond, Targets: 1, Sources: 1},
			Step{Patience: 10 * time.Second, Close: 5, Pace: 50},
		},
		{
			"when time is short it goes faster and says so",
			limits,
			Situation{Ready: 1000, Left: 12 * time.Second, Since: 100 * time.Millisecond, Targets: 1, Sources: 1},
			Step{Tell: 20, TellWaiting: true, Patience: 5 * time.Second, Pace: 50, Forced: true},
		},
		{
			"inside the safety margin everything closes",
			limits,
			Situation{Ready: 10, Left: 2 * time.Second, Since: 100 * time.Millisecond, Targets: 1, Sources: 1},
			Step{All: true, Pace: 50, Forced: true},
		},
		{
			"past the deadline everything closes",
			limits,
			Situation{Told: 10, Left: -time.Second, Since: time.Second, Targets: 1, Sources: 1},
			Step{All: true, Pace: 50, Forced: true},
		},
		{
			"a process that was stopped does not make up for it in one go",
			limits,
			Situation{Ready: 1000, Left: 300 * time.Second, Since: time.Minute, Targets: 1, Sources: 1},
			Step{Tell: 50, Patience: 10 * time.Second, Pace: 50},
		},
		{
			"a rate that is no number falls back to one client a second",
			Limits{Rate: math.NaN()},
			Situation{Ready: 10, Left: 300 * time.Second, Since: time.Second, Targets: 1, Sources: 1},
			Step{Tell: 1, Pace: 1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := Next(tt.limits, Credit{}, tt.in)
			if got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestReturnsAreSpreadOverWhatTheOthersAbsorb(t *testing.T) {
	tests := []struct {
		sessions int
		pace     float64
		want     time.Duration
	}{
		{500, 50, 10 * time.Second},
		{1_000_000, 50, 30 * time.Second},
		{0, 50, 0},
		{10, 0, 30 * time.Second},
		{10, math.NaN(), 30 * time.Second},
	}
	for _, tt := range tests {
		if got := Spread(tt.sessions, tt.pace, 30*time.Second); got != tt.want {
			t.Errorf("%d sessions at %v/s come back over %s, want %s", tt.sessions, tt.pace, got, tt.want)
		}
	}
}

// world simulates clients: some follow the word at once, some never do; shards flip at some time or never.
type world struct {
	limits   Limits
	deadline time.Duration
	targets  int
	sources  int
	obeying  float64
	flipAt   time.Duration // of all waiting sessions

	now                  time.Duration
	ready, waiting       int
	told                 []time.Duration // when each told session is due
	credit               Credit
	unforcedTime         time.Duration
	unforcedTells        float64
	unforcedCloses       float64
	toldWaitingNeedlessy bool
}

func (w *world) due() int {
	n := 0
	for _, at := range w.told {
		if at <= w.now {
			n++
		}
	}
	return n
}

func (w *world) step(since time.Duration) {
	w.now += since
	if w.now >= w.flipAt {
		w.ready, w.waiting = w.ready+w.waiting, 0
	}
	in := Situation{
		Ready: w.ready, Waiting: w.waiting, Told: len(w.told), Due: w.due(),
		Left: w.deadline - w.now, Since: since, Targets: w.targets, Sources: w.sources,
	}
	var out Step
	out, w.credit = Next(w.limits, w.credit, in)
	if out.All {
		w.ready, w.waiting, w.told = 0, 0, nil
		return
	}
	if !out.Forced {
		w.unforcedTime += min(since, longestStep)
		w.unforcedTells += float64(out.Tell)
		w.unforcedCloses += float64(out.Close)
	}
	w.told = w.told[out.Close:]
	fromReady := min(out.Tell, w.ready)
	fromWaiting := out.Tell - fromReady
	w.toldWaitingNeedlessy = w.toldWaitingNeedlessy || fromWaiting > 0 && !out.TellWaiting
	w.ready -= fromReady
	w.waiting -= fromWaiting
	for i := range out.Tell {
		if float64(i%100) >= w.obeying*100 {
			w.told = append(w.told, w.now+out.Patience)
		}
	}
}

func (w *world) left() int { return w.ready + w.waiting + len(w.told) }

func TestADrainAlwaysEndsInsideItsDeadlineAndKeepsThePaceWhileItCan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{
			limits: Limits{
				Rate:     rapid.Float64Range(0.1, 2000).Draw(t, "rate"),
				Patience: time.Duration(rapid.Int64Range(0, int64(30*time.Second)).Draw(t, "patience")),
				Safety:   time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "safety")),
			},
			deadline: time.Duration(rapid.Int64Range(0, int64(120*time.Second)).Draw(t, "deadline")),
			targets:  rapid.IntRange(0, 40).Draw(t, "targets"),
			sources:  rapid.IntRange(0, 10).Draw(t, "sources"),
			obeying:  rapid.Float64Range(0, 1).Draw(t, "obeying"),
			flipAt:   time.Duration(rapid.Int64Range(0, int64(300*time.Second)).Draw(t, "flipAt")),
			ready:    rapid.IntRange(0, 5000).Draw(t, "ready"),
			waiting:  rapid.IntRange(0, 5000).Draw(t, "waiting"),
		}
		tick := time.Duration(rapid.Int64Range(int64(20*time.Millisecond), int64(500*time.Millisecond)).Draw(t, "tick"))
		pace := Pace(w.limits.Rate, w.targets, w.sources)
		for w.left() > 0 {
			w.step(tick)
			if w.now > w.deadline+tick {
				t.Fatalf("%d sessions are left %s after the deadline: SIGKILL would cut them without a word", w.left(), w.now-w.deadline)
			}
		}
		if available := w.deadline - w.limits.Safety; available > tick && w.now > available {
			t.Fatalf("the last session closed at %s, after the deadline less the safety margin, %s", w.now, available)
		}
		most := pace*w.unforcedTime.Seconds() + 2
		if w.unforcedTells > most || w.unforcedCloses > most {
			t.Fatalf("told %v and closed %v in %s without need: the others absorb %v/s", w.unforcedTells, w.unforcedCloses, w.unforcedTime, pace)
		}
		if w.toldWaitingNeedlessy {
			t.Fatal("a session was told to leave for an owner that does not exist yet, though there was time")
		}
	})
}

func TestAnyNumbersGiveASaneStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(-5, math.MaxInt32)
		in := Situation{
			Ready: max(0, count.Draw(t, "ready")), Waiting: max(0, count.Draw(t, "waiting")), Told: max(0, count.Draw(t, "told")), Due: max(0, count.Draw(t, "due")),
			Left: time.Duration(rapid.Int64().Draw(t, "left") / 4), Since: time.Duration(rapid.Int64().Draw(t, "since") / 4),
			Targets: count.Draw(t, "targets"), Sources: count.Draw(t, "sources"),
		}
		l := Limits{Rate: rapid.Float64().Draw(t, "rate"), Patience: time.Duration(rapid.Int64().Draw(t, "patience") / 4), Safety: time.Duration(rapid.Int64().Draw(t, "safety") / 4)}
		out, credit := Next(l, Credit{}, in)
		if out.Tell < 0 || out.Tell > in.Ready+in.Waiting || out.Close < 0 || out.Close > in.Told || out.Patience < 0 {
			t.Fatalf("impossible step %+v from %+v", out, in)
		}
		if math.IsNaN(credit.Tell) || math.IsNaN(credit.Close) {
			t.Fatalf("the credit is not a number: the drain would stand still")
		}
	})
}
