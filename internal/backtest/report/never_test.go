package report_test

import (
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/backtest"
	"github.com/tidegate/tidegate/internal/backtest/trace"
)

// The largest peak of one seed and the largest need of another say nothing of any run.
func TestThePeakIsHeldAgainstTheNeedOfItsOwnRun(t *testing.T) {
	t.Parallel()
	calm, wild := result("count", "week", trace.Regular, 1, 0, 1, 0, 0, 0), result("count", "week", trace.Regular, 2, 0, 1, 0, 0, 0)
	calm.Score.PeakTarget, calm.Score.PeakNeed = 20, 19
	wild.Score.PeakTarget, wild.Score.PeakNeed = 15, 10
	if got := table(t, calm, wild); !strings.Contains(got, "+5 week") {
		t.Errorf("one run asked for 15 where 10 were needed:\n%s", got)
	}
	if got := page(t, calm, wild); !strings.Contains(got, `"15/10"`) {
		t.Error("the page does not show the peak and the need of one run")
	}
}

func TestWherePodsNeverStartOnlyThePeakIsJudged(t *testing.T) {
	t.Parallel()
	for peak, want := range map[int]string{11: "+1 week ✓", 10: "+0 week ✓", 13: "+3 week ✗ +2"} {
		ours, both := result("count", "week", trace.Regular, 1, 0.5, 1, 9000, 9000, 9), result("keda-both", "week", trace.Regular, 1, 0.5, 1, 100, 100, 1)
		ours.Score.PeakTarget, ours.NeverStart, both.NeverStart = peak, true, true
		got := table(t, ours, both)
		if !strings.Contains(got, want) || strings.Count(got, "✓")+strings.Count(got, "✗") != 1 || !strings.Contains(got, "<= +1") {
			t.Errorf("a peak of %d for a need of 10: want %q, and nothing else judged:\n%s", peak, want, got)
		}
	}
}

func TestTheOraclesReversalsAreNoFigureToCompareWith(t *testing.T) {
	t.Parallel()
	got := table(t, result(backtest.RowOracle, "week", trace.Regular, 1, 0, 1, 0, 0, 777))
	if strings.Contains(got, "777") {
		t.Errorf("it follows every need at no cost:\n%s", got)
	}
}
