package trace_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/backtest/trace"
)

func TestAFileIsScaledAndInterpolated(t *testing.T) {
	t.Parallel()
	file := "time,count\n2014-10-20 00:00:00,100\n2014-10-20 00:30:00,400\n2014-10-20 00:31:00,200\n"
	x, err := trace.ReadCSV(strings.NewReader(file), "taxi.csv", 8000)
	if err != nil {
		t.Fatal(err)
	}
	if x.Name != "taxi.csv" || x.Kind != trace.Regular || x.Seconds() != 31*60 || x.Step != time.Minute {
		t.Errorf("read %s, %s, %d s in steps of %s", x.Name, x.Kind, x.Seconds(), x.Step)
	}
	for second, want := range map[int]float64{0: 2000, 900: 5000, 1800: 8000, 1830: 6000, 1860: 4000} {
		if got, _ := x.At(second); math.Abs(got-want) > 1 {
			t.Errorf("at %d s there are %v clients: want %v", second, got, want)
		}
	}
}

func TestTimesAreReadAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	for _, pair := range []string{
		"2014-10-20T00:00:00Z,1\n2014-10-20T02:00:00+01:00,2", "2014-10-20 00:00:00,1\n2014-10-20 01:00:00,2",
		"1413763200,1\n1413766800,2", "2014-10-20 00:00,1\n2014-10-20 01:00,2", " 1413763200 , 1 \n1413766800,2",
	} {
		x, err := trace.ReadCSV(strings.NewReader("time,count\n"+pair+"\n"), "x", 10)
		if err != nil || x.Seconds() != 3600 {
			t.Errorf("%q: %v, %d s", pair, err, x.Seconds())
		}
	}
}

func TestBadInputIsNamedByLineAndField(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"nothing":                    {"", []string{"x.csv", "empty", "time,count"}},
		"another header":             {"when,howmany\n1,2\n", []string{"line 1", "when,howmany", "time,count"}},
		"only a header":              {"time,count\n", []string{"0 lines", "two or more"}},
		"one line":                   {"time,count\n1,2\n", []string{"1 lines", "two or more"}},
		"a time that is none":        {"time,count\n1,2\nyesterday,3\n", []string{"line 3", "time", "yesterday"}},
		"a count that is none":       {"time,count\n1,2\n2,many\n", []string{"line 3", "count", "many"}},
		"a negative count":           {"time,count\n1,2\n2,-3\n", []string{"line 3", "count", "-3"}},
		"a count that is not finite": {"time,count\n1,2\n2,Inf\n", []string{"line 3", "count", "Inf"}},
		"not a number":               {"time,count\n1,NaN\n2,3\n", []string{"line 2", "count", "NaN"}},
		"a missing field":            {"time,count\n1\n", []string{"line 2", "fields"}},
		"a field too many":           {"time,count\n1,2,3\n", []string{"line 2", "fields"}},
		"time going back":            {"time,count\n5,2\n4,3\n", []string{"line 3", "not after"}},
		"the same time twice":        {"time,count\n5,2\n5,3\n", []string{"line 3", "not after"}},
		"no load at all":             {"time,count\n1,0\n2,0\n", []string{"every count is 0"}},
		"milliseconds":               {"time,count\n1413763200000,1\n1413763201000,2\n", []string{"line 2", "time", "Unix seconds"}},
		"centuries":                  {"time,count\n1,1\n99999999,2\n", []string{"line 3", "days"}},
		"an open quote":              {"time,count\n1,\"2\n", []string{"line"}},
	} {
		_, err := trace.ReadCSV(strings.NewReader(c.file), "x.csv", 10)
		if err == nil {
			t.Errorf("%s: was read", name)
			continue
		}
		for _, word := range c.want {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: the error does not say %q: %v", name, word, err)
			}
		}
	}
	if _, err := trace.ReadCSV(strings.NewReader("time,count\n1,1\n2,2\n"), "x", math.NaN()); err == nil {
		t.Error("a peak that is no number was taken")
	}
}

// What was read is a trace that can be run: scaled to its peak, and never negative.
func FuzzReadCSV(f *testing.F) {
	f.Add("time,count\n2014-10-20 00:00:00,100\n2014-10-20 00:30:00,400\n")
	f.Add("time,count\n1,1\n2,0\n3,1e300\n")
	f.Fuzz(func(t *testing.T, file string) {
		x, err := trace.ReadCSV(strings.NewReader(file), "x", 1000)
		if err != nil {
			return
		}
		if err := x.Validate(); err != nil {
			t.Fatal(err)
		}
		for second := 0; second <= min(x.Seconds(), 5000); second += 7 {
			if clients, _ := x.At(second); !(clients >= 0 && clients <= 1000.001) {
				t.Fatalf("%v clients at %d s", clients, second)
			}
		}
	})
}
