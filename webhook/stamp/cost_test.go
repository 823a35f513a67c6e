package stamp

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestACostSaysAllThatAnotherReplicaMustKnow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		place := rapid.IntRange(0, 1000).Draw(t, "place")
		target := rapid.IntRange(0, 5000).Draw(t, "target")
		written := now.Add(time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "written")))
		passed := time.Duration(rapid.Int64Range(int64(-50*time.Second), int64(7*time.Hour)).Draw(t, "passed"))
		cost := encode(place, written, target)
		if !Ours(cost) {
			t.Fatalf("the cost %d is not recognised as ours: it would never be cleared", cost)
		}
		age, forTarget := decode(cost, written.Add(passed))
		if forTarget != target%targets {
			t.Errorf("target %d is read as %d", target, forTarget)
		}
		if age > passed || age <= passed-tick {
			t.Errorf("an age of %s is read as %s", passed, age)
		}
		if later := encode(place+1, written.Add(passed), target+1); later < cost && place < lastPlace {
			t.Errorf("the victim after place %d costs %d, less than %d: it would leave first", place, later, cost)
		}
	})
}

func TestCostsOfUsersAreNotOurs(t *testing.T) {
	for _, cost := range []int32{math.MinInt32, Lowest - 1, Above, -1_000_000_000, -10, -1, 0, 1, math.MaxInt32} {
		if Ours(cost) {
			t.Errorf("the cost %d counts as ours: what a user wrote would be cleared", cost)
		}
	}
	for _, cost := range []int32{Lowest, Above - 1, -1_500_000_000} {
		if !Ours(cost) {
			t.Errorf("the cost %d does not count as ours", cost)
		}
	}
	if Lowest != -2_000_000_000 || Above != -1_463_129_088 {
		t.Errorf("the range [%d, %d) is not the one that the shipped admission policy allows", Lowest, Above)
	}
}
