package report

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/tidegate/tidegate/internal/backtest"
)

// sheet is the summary as text: what the terminal's table and the page's show.
type sheet struct {
	head  []string
	lines []line
	// goal is the last line, what our row is judged by; empty where it is not among the rows.
	goal []string
	// notes say how to read it.
	notes []string
}

// line is one row of it.
type line struct {
	name  string
	ours  bool
	cells []cell
}

// columns of the sheet after the row's name.
var columns = []string{"regular bad", "worst trace", "pods", "shock bad", "worst trace", "pods", "cut", "moved", "reversals/day", "peak over need"}

// none stands where a row has no traces of a kind.
const none = "-"

func sheetOf(results []backtest.Result) sheet {
	all := bouts(results)
	rows := summarize(all)
	s := sheet{head: append([]string{"policy"}, columns...)}
	var ours, reference *summary
	for _, r := range rows {
		switch r.row {
		case ourRow:
			ours = r
		case referenceRow:
			reference = r
		}
	}
	never := slices.ContainsFunc(results, func(r backtest.Result) bool { return r.NeverStart })
	for _, r := range rows {
		l := line{name: r.row, ours: r == ours, cells: plain(r)}
		switch {
		case l.ours && never:
			l.cells[len(l.cells)-1] = overNeed(r, true)
		case l.ours:
			l.cells = marked(r, reference)
		}
		s.lines = append(s.lines, l)
	}
	s.notes = notes(all, ours, reference, never)
	switch {
	case ours != nil && never:
		s.goal = append([]string{"goal of " + ourRow}, make([]string, len(columns))...)
		s.goal[len(columns)] = fmt.Sprintf("<= +%d", goalOver)
	case ours != nil:
		s.goal = goalLine(reference)
	}
	return s
}

func notes(all []*bout, ours, reference *summary, never bool) []string {
	least, most := seeds(all)
	text := strconv.Itoa(most)
	if least != most {
		text = fmt.Sprintf("%d to %d", least, most)
	}
	unit := "seeds"
	if text == "1" {
		unit = "seed"
	}
	out := []string{
		fmt.Sprintf("Means of %s %s a trace; each trace counts once. bad: client-seconds on a node over 0.90 CPU, 500 ms p95 or 0.92 memory, or refused and waiting.", text, unit),
		"pods: pod-seconds over those of an oracle that knows the future and fills nodes to 0.80 CPU. cut, moved: clients over all traces.",
		"peak over need: the largest count that was asked for less the oracle's, of the run in which that is most.",
	}
	if never {
		return append(out, fmt.Sprintf("No pod started that was asked for: the only goal is that the peak is at most %d over the need.", goalOver))
	}
	if ours != nil && reference == nil {
		out = append(out, fmt.Sprintf("Without the row %q there is nothing to judge cut, moved and reversals by.", referenceRow))
	}
	return out
}

func figures(f family) (bad, worst, pods cell) {
	if f.traces == 0 {
		return cell{text: none}, cell{text: none}, cell{text: none}
	}
	return cell{text: percent(f.bad)}, cell{text: percent(f.worst) + " " + f.at}, cell{text: ratio(f.pods)}
}

func plain(r *summary) []cell {
	bad, worst, pods := figures(r.regular)
	shock, hardest, most := figures(r.shock)
	return []cell{
		bad, worst, pods, shock, hardest, most,
		{text: clients(r.cut)},
		{text: clients(r.moved)},
		reversals(r.row, r.reversals),
		overNeed(r, false),
	}
}

// marked is our row, each figure beside its goal.
func marked(r, reference *summary) []cell {
	cells := plain(r)
	if r.regular.traces > 0 {
		cells[1] = named(judged(r.regular.worst, goalRegularWorst, percent), r.regular.at)
		cells[2] = judged(r.regular.pods, goalRegularPods, ratio)
	}
	if r.shock.traces > 0 {
		cells[3] = judged(r.shock.bad, goalShockBad, percent)
		cells[4] = named(judged(r.shock.worst, goalShockWorst, percent), r.shock.at)
		cells[5] = judged(r.shock.pods, goalShockPods, ratio)
	}
	cells[6] = against(r.cut, reference, func(s *summary) float64 { return s.cut }, goalCut, clients)
	cells[7] = against(r.moved, reference, func(s *summary) float64 { return s.moved }, goalMoved, clients)
	cells[8] = against(r.reversals, reference, func(s *summary) float64 { return s.reversals }, goalReversals, perDay)
	return cells
}

// reversals of the oracle are no figure to compare with: it follows every need, since a pod costs it nothing.
func reversals(row string, perDays float64) cell {
	if row == backtest.RowOracle {
		return cell{text: none}
	}
	return cell{text: perDay(perDays)}
}

func named(c cell, at string) cell {
	c.text += " " + at
	return c
}

// goalLine says what our row is judged by.
func goalLine(reference *summary) []string {
	most := func(text string) string { return "<= " + text }
	goal := []string{
		"goal of " + ourRow, "", most(percent(goalRegularWorst)), most(ratio(goalRegularPods)),
		most(percent(goalShockBad)), most(percent(goalShockWorst)), most(ratio(goalShockPods)), "", "", "", "",
	}
	if reference != nil {
		goal[7] = most(clients(goalCut * reference.cut))
		goal[8] = most(clients(goalMoved * reference.moved))
		goal[9] = most(perDay(goalReversals * reference.reversals))
	}
	return goal
}
