package report_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/backtest"
	"github.com/tidegate/tidegate/internal/backtest/report"
	"github.com/tidegate/tidegate/internal/backtest/trace"
)

func table(t *testing.T, results ...backtest.Result) string {
	t.Helper()
	return string(text(t, func(b *bytes.Buffer) error { return report.Table(b, results) }))
}

func TestTheTableSumsUpRowsAndMarksOursAgainstTheGoals(t *testing.T) {
	golden(t, "table.txt", []byte(table(t, season()...)))
}

func TestALongTraceDoesNotDrownAShortOne(t *testing.T) {
	t.Parallel()
	long, short := result("count", "week", trace.Regular, 1, 0.01, 1, 0, 0, 0), result("count", "ramp", trace.Regular, 1, 0.03, 2, 0, 0, 0)
	long.Score.ClientSeconds, long.Score.PodSeconds = 1e9, 1e7
	if got := table(t, long, short); !strings.Contains(got, "2.00 %") || !strings.Contains(got, "1.50") || !strings.Contains(got, "3.00 % ramp") {
		t.Errorf("want the mean of 1 and 3 %%, of 1 and 2 times the pods, and ramp as the worst:\n%s", got)
	}
}

func TestAGoalThatIsMissedSaysByHowMuch(t *testing.T) {
	t.Parallel()
	both := result("keda-both", "week", trace.Regular, 1, 0.01, 1.2, 1000, 1000, 10)
	for name, test := range map[string]struct {
		ours backtest.Result
		want string
	}{
		"bad":       {result("count", "week", trace.Regular, 1, 0.0007, 1, 0, 0, 0), "0.070 % week ✗ +0.020 %"},
		"pods":      {result("count", "week", trace.Regular, 1, 0, 1.13, 0, 0, 0), "1.13 ✗ +0.03"},
		"shock":     {result("count", "flash", trace.Shock, 1, 0.03, 1, 0, 0, 0), "3.00 % ✗ +2.10 %"},
		"cut":       {result("count", "week", trace.Regular, 1, 0, 1, 150, 0, 0), "150 ✗ 0.15x"},
		"moved":     {result("count", "week", trace.Regular, 1, 0, 1, 0, 1500, 0), "1,500 ✗ 1.50x"},
		"reversals": {result("count", "week", trace.Regular, 1, 0, 1, 0, 0, 31), "31 ✗ 3.10x"},
	} {
		if got := table(t, both, test.ours); !strings.Contains(got, test.want) {
			t.Errorf("%s: want %q in\n%s", name, test.want, got)
		}
	}
	exact := result("count", "week", trace.Regular, 1, 0.0005, 1.10, 100, 1400, 10)
	if got := table(t, both, exact); strings.Contains(got, "✗") {
		t.Errorf("exactly the goal is met:\n%s", got)
	}
	none := result("keda-both", "week", trace.Regular, 1, 0.01, 1.2, 0, 0, 0)
	if got := table(t, none, exact); !strings.Contains(got, "100 ✗ of none") {
		t.Errorf("more than none is a miss, not a division by zero:\n%s", got)
	}
}

func TestWithoutTheReferenceNothingIsJudgedByIt(t *testing.T) {
	t.Parallel()
	got := table(t, result("count", "week", trace.Regular, 1, 0, 1, 100, 100, 9))
	if strings.Contains(got, "100 ✓") || strings.Contains(got, "✗") || !strings.Contains(got, `Without the row "keda-both"`) {
		t.Errorf("a goal against nothing is neither met nor missed:\n%s", got)
	}
	if got := table(t); !strings.Contains(got, "no results") {
		t.Errorf("no results are an empty table: %q", got)
	}
}

func TestANameFromAFileDoesNotSteerTheTerminal(t *testing.T) {
	t.Parallel()
	got := table(t, result("count", "\x1b[2Jgone\u009b", trace.Regular, 1, 0.1, 1, 0, 0, 0))
	if strings.ContainsAny(got, "\x1b\u009b") {
		t.Errorf("an escape sequence of a trace's name reaches the terminal: %q", got)
	}
}

func TestCSVHasALineATraceRowAndSeed(t *testing.T) {
	got := text(t, func(b *bytes.Buffer) error { return report.CSV(b, season()) })
	golden(t, "results.csv", got)
	lines, err := csv.NewReader(bytes.NewReader(got)).ReadAll()
	if err != nil || len(lines) != 1+3*3*2 {
		t.Errorf("%d lines, %v: want a head and one for each of 18 runs", len(lines), err)
	}
}

func TestASpreadsheetTakesNoNameForAFormula(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"=1+1", "+cmd", "-2", "@SUM(A1)"} {
		got := text(t, func(b *bytes.Buffer) error {
			return report.CSV(b, []backtest.Result{result("count", name, trace.Regular, 1, 0, 1, 0, 0, 0)})
		})
		lines, err := csv.NewReader(bytes.NewReader(got)).ReadAll()
		if err != nil || lines[1][0] != "'"+name {
			t.Errorf("%q is written as %q, %v", name, lines[1][0], err)
		}
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestAFullDiskIsAnError(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"table": report.Table(full{}, season()), "CSV": report.CSV(full{}, season()), "HTML": report.HTML(full{}, season()),
	} {
		if err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%s: %v: a report that was cut looks written", name, err)
		}
	}
}
