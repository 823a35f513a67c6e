package storm_test

import (
	"math"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/balancer/storm"
)

func TestWhatIsAnOutage(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	for name, c := range map[string]struct {
		earlier, highest, now float64
		want                  bool
	}{
		"a sixth is gone":                 {10_000, 10_000, 8_400, true},
		"an eighth is gone":               {10_000, 10_000, 8_750, false},
		"all are gone":                    {10_000, 10_000, 0, true},
		"nobody has left":                 {10_000, 10_000, 10_000, false},
		"more than there were":            {100, 100, 900, false},
		"a third of a handful":            {12, 12, 8, false},
		"half of a small crowd":           {100, 100, 50, true},
		"a rush that ends as it did":      {10_000, 8_000, 6_000, false},
		"a crash after the end of a rush": {10_000, 9_500, 7_000, true},
		"a crash after a steep rise":      {2_000, 10_000, 5_000, true},
		"what was before is no number":    {math.NaN(), 10_000, 5_000, false},
		"nobody was there":                {0, 0, 0, false},
		"a number that is none":           {5, math.NaN(), 5, false},
		"a crowd that is none":            {1000, 1000, math.NaN(), false},
		"a quarter of two hundred by one": {200, 200, 157, true},
	} {
		if got := storm.Fell(p, c.earlier, c.highest, c.now); got != c.want {
			t.Errorf("%s: outage %t, want %t", name, got, c.want)
		}
	}
	p.Storm.Guard = false
	if storm.Fell(p, 10_000, 10_000, 0) {
		t.Error("a guard that is off holds the fleet")
	}
}

// hour plays an hour in which 10,000 clients fall to a number at once and return after a while; it returns how long the hold was.
func hour(w storm.Watch, p policy.Policy, from time.Time, to float64, away time.Duration) (storm.Watch, time.Duration) {
	const crowd = 10_000.0
	held := 0
	for i := range 3600 {
		at, clients, highest := time.Duration(i)*time.Second, crowd, crowd
		if at > time.Minute && at <= time.Minute+away {
			clients = to
			if at > time.Minute+p.Storm.Window {
				highest = to
			}
		}
		if w = w.See(p, from.Add(at), highest, highest, clients); w.Holds() {
			held++
		}
	}
	return w, time.Duration(held) * time.Second
}

func TestAHoldLastsUntilTheyAreBackOrItsTimeIsOver(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	from := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w, held := hour(storm.Watch{}, p, from, 5000, 50*time.Minute)
	if held < 17*time.Minute || held > 19*time.Minute || w.Doubt == 0 {
		t.Fatalf("held for %s, doubt %v: want 15 minutes after the three in which they had fallen, and a doubt", held, w.Doubt)
	}
	last := held
	for i := range 6 {
		if w, held = hour(w, p, from.Add(time.Duration(i+1)*time.Hour), 5000, 50*time.Minute); held > last {
			t.Fatalf("held for %s, after %s for the fall before, from which nobody came back either", held, last)
		}
		last = held
	}
	if last > 7*time.Minute {
		t.Fatalf("a guard that was wrong seven times holds for %s", last)
	}
	for i := range 8 {
		w, held = hour(w, p, from.Add(time.Duration(i+8)*time.Hour), 5000, 4*time.Minute)
	}
	if w.Doubt > 0.05 || held < 7*time.Minute || held > 10*time.Minute {
		t.Fatalf("clients who were back after four minutes are held for %s, doubt %v: want until no trend remembers how they came", held, w.Doubt)
	}
}

func TestAFalseWatchIsRefused(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, w := range map[string]storm.Watch{
		"a hold for ever": {Until: now.Add(25 * time.Hour)}, "a crowd of NaN": {Crowd: math.NaN()}, "a crowd below nothing": {Crowd: -1},
		"a doubt above one": {Doubt: 2}, "a doubt of NaN": {Doubt: math.NaN()},
	} {
		if w.Validate(now) == nil {
			t.Errorf("%s: believed", name)
		}
	}
}
