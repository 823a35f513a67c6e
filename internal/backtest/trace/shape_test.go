package trace_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/backtest/trace"
)

func TestColumnsAreFoundByName(t *testing.T) {
	t.Parallel()
	for _, file := range []string{
		"time,count\n100,5\n200,10\n", "count,time\n5,100\n10,200\n", "host,Count,note,Time\na,5,,100\nb,10,x,200\n", "\ufefftime,count,\n100,5,\n200,10,\n",
	} {
		x, err := trace.ReadCSV(strings.NewReader(file), "x", 10)
		if err != nil || x.Seconds() < 60 || x.Clients[0] != 5 {
			t.Errorf("%q: %v, %v", file, x.Clients, err)
		}
	}
	_, err := trace.ReadCSV(strings.NewReader("time,count,host\n1,2,a\n2,3\n"), "x", 10)
	if err == nil || !strings.Contains(err.Error(), "line 3 has 2 fields: want 3") {
		t.Errorf("a line that is cut: %v", err)
	}
}

// A peak that lies between two steps is as high as it was.
func TestAPeakBetweenTwoStepsIsKept(t *testing.T) {
	t.Parallel()
	x, err := trace.ReadCSV(strings.NewReader("time,count\n0,100\n1830,900\n3700,100\n5430,500\n7200,100\n"), "x", 900)
	if err != nil {
		t.Fatal(err)
	}
	if most := slices.Max(x.Clients); most != 900 {
		t.Errorf("the peak of 900 clients is %v", most)
	}
	if later := slices.Max(x.Clients[70:]); later != 500 {
		t.Errorf("the second peak of 500 clients is %v", later)
	}
}

func TestHolesAreToldInWords(t *testing.T) {
	t.Parallel()
	x, err := trace.ReadCSV(strings.NewReader("time,count\n0,1\n60,2\n120,3\n1200,4\n1260,3\n1320,3\n9000,3\n9060,2\n"), "x", 10)
	if err != nil || len(x.Notes) != 1 || !strings.Contains(x.Notes[0], "2 times") || !strings.Contains(x.Notes[0], "2h8m0s") {
		t.Errorf("%q, %v: want two holes, the longer of 2h8m", x.Notes, err)
	}
	if x, err = trace.ReadCSV(strings.NewReader("time,count\n0,1\n60,2\n500,3\n"), "x", 10); err != nil || len(x.Notes) != 0 {
		t.Errorf("%q, %v: eight times the usual step is no hole", x.Notes, err)
	}
}
