package swarm

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestQuantilesAreRightWithinTheWidthOfABucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l latency
		values := rapid.SliceOfN(rapid.Int64Range(8, int64(time.Hour)), 1, 200).Draw(t, "values")
		for _, v := range values {
			l.add(time.Duration(v))
		}
		slices.Sort(values)
		got, exact := l.quantile(0.5), time.Duration(values[(len(values)+1)/2-1])
		if got < exact || float64(got) > 1.13*float64(exact)+8 {
			t.Fatalf("median is %s, really %s", got, exact)
		}
		if l.slowest() != time.Duration(values[len(values)-1]) {
			t.Fatalf("slowest is %s", l.slowest())
		}
	})
}

func TestAHistogramWithoutValuesSaysNothing(t *testing.T) {
	var l latency
	if l.quantile(0.99) != 0 {
		t.Error("an empty histogram claims a latency")
	}
	l.add(-time.Second)
	if got := l.quantile(0.5); got > 1 {
		t.Errorf("a clock step became a latency of %s", got)
	}
}
