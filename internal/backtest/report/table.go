package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/tidegate/tidegate/internal/backtest"
)

// Table writes one line a row, our row marked against the goals, which are the last line.
func Table(w io.Writer, results []backtest.Result) error {
	return write(w, sheetOf(results), "There are no results.")
}

// write draws a sheet, or says why there is none.
func write(w io.Writer, s sheet, empty string) error {
	if len(s.lines) == 0 {
		_, err := fmt.Fprintln(w, empty)
		return err
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleRounded)
	t.Style().Format.Header = text.FormatDefault
	t.Style().Format.Footer = text.FormatDefault
	configs := make([]table.ColumnConfig, 0, len(s.head))
	for i := range s.head[1:] {
		configs = append(configs, table.ColumnConfig{Number: i + 2, Align: text.AlignRight, AlignHeader: text.AlignRight, AlignFooter: text.AlignRight})
	}
	t.SetColumnConfigs(configs)
	t.AppendHeader(row(s.head))
	for _, l := range s.lines {
		cells := table.Row{printable(l.name)}
		for _, c := range l.cells {
			cells = append(cells, printable(c.String()))
		}
		t.AppendRow(cells)
	}
	if len(s.goal) > 0 {
		t.AppendFooter(row(s.goal))
	}
	_, err := fmt.Fprintf(w, "%s\n%s\n", t.Render(), strings.Join(s.notes, "\n"))
	return err
}

func row(texts []string) table.Row {
	out := make(table.Row, len(texts))
	for i, text := range texts {
		out[i] = text
	}
	return out
}

// printable keeps a name from a file from steering the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, text)
}
