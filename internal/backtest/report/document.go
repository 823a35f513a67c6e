package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/tidegate/tidegate/internal/backtest"
	"github.com/tidegate/tidegate/internal/backtest/recording"
)

// document is what the page draws. It is written as JSON into the page, and names in it are never markup.
type document struct {
	// Rows are the names that the legend toggles, in the order of their colours.
	Rows   []string `json:"rows"`
	Groups []group  `json:"groups"`
}

// group is one trace: charts over one time axis.
type group struct {
	Title string `json:"title"`
	Kind  string `json:"kind"`
	// Head and Lines are the group's own small table, empty where there is none.
	Head  []string   `json:"head,omitempty"`
	Lines [][]string `json:"lines,omitempty"`
	// Axes are the times that lines refer to, in seconds since the beginning.
	Axes   [][]float64 `json:"axes"`
	Charts []chart     `json:"charts"`
}

// chart is lines over time.
type chart struct {
	Title string  `json:"title"`
	Unit  string  `json:"unit"`
	Lines []curve `json:"lines"`
}

// curve is one line.
type curve struct {
	// Row is the index of its row, -1 of a line that belongs to none and is always shown.
	Row   int    `json:"row"`
	Label string `json:"label"`
	// Axis is the index of its times.
	Axis   int       `json:"axis"`
	Values []float64 `json:"values"`
	// Style is "line", "dash" or "area".
	Style string `json:"style"`
	// Step says that values hold until the next.
	Step bool `json:"step,omitempty"`
}

const (
	styleLine = "line"
	styleDash = "dash"
	styleArea = "area"
	noRow     = -1
)

// documentOf shows each row's first seed of each trace: three lines on top of each other tell nothing more.
func documentOf(results []backtest.Result) document {
	d := document{Rows: []string{}, Groups: []group{}}
	// Our row's colour is the first.
	for i := range results {
		if !slices.Contains(d.Rows, results[i].Row) {
			if results[i].Row == ourRow {
				d.Rows = slices.Insert(d.Rows, 0, ourRow)
			} else {
				d.Rows = append(d.Rows, results[i].Row)
			}
		}
	}
	all := bouts(results)
	for _, b := range all {
		if !slices.ContainsFunc(d.Groups, func(g group) bool { return g.Title == b.trace }) {
			d.Groups = append(d.Groups, d.trace(b.trace, results, all))
		}
	}
	return d
}

// trace draws one trace.
func (d document) trace(name string, results []backtest.Result, all []*bout) group {
	g := group{Title: name, Charts: []chart{
		{Title: "Fleet against need", Unit: "pods"}, {Title: "Bad", Unit: "% of client time"}, {Title: "Moved, and cut as dashes", Unit: "clients"}, {Title: "Who wants to be connected", Unit: "clients"},
	}}
	g.Head = []string{"policy", "bad", "pods", "cut", "moved", "reversals/day", "peak/need"}
	for _, b := range all {
		if b.trace == name {
			g.Kind = b.kind.String()
			g.Lines = append(g.Lines, []string{
				b.row, percent(b.mean.Bad), ratio(b.mean.Pods), clients(b.mean.Cut), clients(b.mean.Moved), reversals(b.row, b.mean.ReversalsPerDay).text,
				fmt.Sprintf("%d/%d", b.mean.PeakTarget, b.mean.PeakNeed),
			})
		}
	}
	fleet, bad, moved, wanted := &g.Charts[0], &g.Charts[1], &g.Charts[2], &g.Charts[3]
	drawn := map[string]bool{}
	for i := range results {
		r := &results[i]
		if r.Trace != name || drawn[r.Row] {
			continue
		}
		axis, row, s := g.axis(r.Series.At), slices.Index(d.Rows, r.Row), r.Series
		if len(drawn) == 0 {
			fleet.add(noRow, "need", axis, s.Need, styleArea, true, 1)
			wanted.add(noRow, "clients", axis, s.Clients, styleArea, false, 0)
		}
		drawn[r.Row] = true
		fleet.add(row, r.Row, axis, s.Serving, styleLine, true, 1)
		bad.add(row, r.Row, axis, scaled(s.Bad, 100), styleLine, false, 3)
		moved.add(row, r.Row+" moved", axis, s.Moved, styleLine, false, 0)
		moved.add(row, r.Row+" cut", axis, s.Cut, styleDash, false, 0)
	}
	return g
}

// replayDocument shows the counts of a replay over what the fleet needed.
func replayDocument(o recording.Outcome) document {
	d := document{Rows: []string{"this policy", "decided", "asked for", "serving"}}
	g := group{Title: o.Header.Fleet.String(), Kind: "replay", Charts: []chart{
		{Title: "Counts against need", Unit: "pods"}, {Title: "Bad on the fleet that ran", Unit: "% of client time"}, {Title: "Connected and waiting", Unit: "clients"},
	}}
	axis, s := g.axis(o.Series.At), o.Series
	counts := &g.Charts[0]
	counts.add(noRow, "need", axis, s.Need, styleArea, true, 0)
	for i, values := range [][]float64{s.Replayed, s.Decided, s.Asked, s.Serving} {
		style := styleLine
		if i > 1 {
			style = styleDash
		}
		counts.add(i, d.Rows[i], axis, values, style, true, 0)
	}
	g.Charts[1].add(noRow, "bad", axis, scaled(s.Bad, 100), styleArea, false, 3)
	g.Charts[2].add(noRow, "clients", axis, s.Clients, styleArea, false, 0)
	d.Groups = []group{g}
	return d
}

// axis is the index of these times among the group's.
func (g *group) axis(times []float64) int {
	rounded := rounded(times, 1)
	for i, known := range g.Axes {
		if slices.Equal(known, rounded) {
			return i
		}
	}
	g.Axes = append(g.Axes, rounded)
	return len(g.Axes) - 1
}

func (c *chart) add(row int, label string, axis int, values []float64, style string, step bool, digits int) {
	c.Lines = append(c.Lines, curve{Row: row, Label: label, Axis: axis, Values: rounded(values, digits), Style: style, Step: step})
}

func scaled(values []float64, by float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = v * by
	}
	return out
}

// rounded cuts the digits that nobody sees on a chart, and what JSON cannot say.
func rounded(values []float64, digits int) []float64 {
	scale := math.Pow10(digits)
	out := make([]float64, len(values))
	for i, v := range values {
		if r := math.Round(v*scale) / scale; !math.IsNaN(r) && !math.IsInf(r, 0) {
			out[i] = r
		}
	}
	return out
}
