package report

import "fmt"

// The goals of the count, as the design states them: parts of client-seconds, pods over the oracle's, and the rest against
// KEDA with both metrics on the same traces.
const (
	goalRegularWorst = 0.0005
	goalRegularPods  = 1.10
	goalShockBad     = 0.009
	goalShockWorst   = 0.020
	goalShockPods    = 1.20
	goalCut          = 0.1
	goalMoved        = 1.4
	goalReversals    = 1.0
	// goalOver is the only goal where pods never start: what is missing is not asked for again and again.
	goalOver = 1
)

// mark says how our row stands to a goal.
type mark uint8

const (
	noGoal mark = iota
	met
	missed
)

// cell is one figure of a table.
type cell struct {
	text string
	mark mark
	// by is how far a missed goal is away, in words.
	by string
}

// String is the figure with its mark, for a terminal.
func (c cell) String() string {
	switch c.mark {
	case met:
		return c.text + " ✓"
	case missed:
		return fmt.Sprintf("%s ✗ %s", c.text, c.by)
	default:
		return c.text
	}
}

// judged marks a figure against the most that the goal allows. What the figure is written as counts: 0.0504 % is 0.05 %.
func judged(value, most float64, write func(float64) string) cell {
	c := cell{text: write(value), mark: met}
	if value > most && c.text != write(most) {
		c.mark, c.by = missed, "+"+write(value-most)
	}
	return c
}

// against marks a figure against so many times another row's. Without that row there is nothing to be judged by.
func against(value float64, reference *summary, of func(*summary) float64, times float64, write func(float64) string) cell {
	if reference == nil {
		return cell{text: write(value)}
	}
	c := cell{text: write(value), mark: met}
	base := of(reference)
	switch {
	case value <= times*base || c.text == write(times*base):
	case base > 0:
		c.mark, c.by = missed, ratio(value/base)+"x"
	default:
		c.mark, c.by = missed, "of none"
	}
	return c
}

// overNeed marks how far the count went beyond the oracle's peak where pods never start; elsewhere pods that come late are asked
// for ahead of the need, and nothing is judged by it.
func overNeed(r *summary, judge bool) cell {
	c := cell{text: fmt.Sprintf("%+d %s", r.over, r.overAt)}
	switch {
	case !judge:
	case r.over <= goalOver:
		c.mark = met
	default:
		c.mark, c.by = missed, fmt.Sprintf("+%d", r.over-goalOver)
	}
	return c
}

func percent(part float64) string {
	switch p := 100 * part; {
	case p == 0:
		return "0 %"
	case p < 0.0005:
		return "<0.001 %"
	case p < 0.1:
		return fmt.Sprintf("%.3f %%", p)
	case p < 10:
		return fmt.Sprintf("%.2f %%", p)
	default:
		return fmt.Sprintf("%.1f %%", p)
	}
}

func ratio(x float64) string { return fmt.Sprintf("%.2f", x) }

func perDay(x float64) string {
	if x < 10 {
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

// clients writes a count with its thousands apart.
func clients(x float64) string {
	text := fmt.Sprintf("%.0f", x)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
