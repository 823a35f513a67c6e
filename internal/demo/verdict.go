package demo

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/tidegate/tidegate/internal/demo/actuator"
	"github.com/tidegate/tidegate/internal/demo/swarm"
	"github.com/tidegate/tidegate/internal/ledger"
)

// The demo has shown its point when the fleet grew to leastPeak nodes and came back to leastNodes.
const (
	leastPeak  = 5
	leastNodes = 2
)

// outcome is what a demo is judged by.
type outcome struct {
	books  ledger.Report
	crowd  swarm.Stats
	fleet  actuator.Summary
	drain  time.Duration
	urgent string
	killed string
}

// lowest is the fewest ready nodes after the peak.
func (o *outcome) lowest() int {
	lowest, peaked := o.fleet.Peak, false
	for _, p := range o.fleet.Timeline {
		peaked = peaked || p.Ready == o.fleet.Peak
		if peaked {
			lowest = min(lowest, p.Ready)
		}
	}
	return lowest
}

// problems names everything that a fleet in order would not have done.
func (o *outcome) problems() error {
	var problems []error
	fail := func(bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	fail(o.books.Missing > 0, "%d accepted messages were lost", o.books.Missing)
	fail(o.books.Inversions > 0, "%d messages arrived out of order", o.books.Inversions)
	fail(o.books.Duplicates > 0, "%d messages were shown twice", o.books.Duplicates)
	fail(o.books.Strange > 0, "%d messages arrived that nobody sent", o.books.Strange)
	fail(o.crowd.Duplicates > 0, "%d messages came again to clients that had acked them", o.crowd.Duplicates)
	fail(o.books.Accepted == 0, "no message was accepted")
	fail(o.fleet.Peak < leastPeak, "the fleet grew to %d nodes only, not to %d", o.fleet.Peak, leastPeak)
	fail(o.lowest() > leastNodes, "the fleet shrank to %d nodes only, not to %d", o.lowest(), leastNodes)
	fail(o.fleet.Removed == 0, "no node left the fleet as asked")
	fail(o.crowd.Moves == 0, "no client moved with a drain")
	return errors.Join(problems...)
}

// write prints the table.
func (o *outcome) write(w io.Writer) {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"what", "figure"})
	t.AppendRows([]table.Row{
		{"peak nodes", o.fleet.Peak},
		{"fewest nodes after the peak", o.lowest()},
		{"most urgent", o.urgent},
		{"nodes drained", o.fleet.Removed},
		{"nodes killed", killedText(o.killed)},
		{"longest drain", rounded(o.drain)},
	})
	t.AppendSeparator()
	t.AppendRows([]table.Row{
		{"messages sent", o.books.Sent},
		{"accepted", o.books.Accepted},
		{"delivered", o.books.Received},
		{"lost", o.books.Missing},
		{"out of order", o.books.Inversions},
		{"duplicates to a client that acked", o.crowd.Duplicates},
		{"delivery p50 / p99", fmt.Sprintf("%s / %s", rounded(o.crowd.LatencyP50), rounded(o.crowd.LatencyP99))},
	})
	t.AppendSeparator()
	t.AppendRows([]table.Row{
		{"moves without a gap", o.crowd.Moves},
		{"reconnects after a loss", o.crowd.Losses},
		{"longest gap of a client", rounded(o.crowd.LongestGap)},
	})
	t.Render()
}

func killedText(node string) string {
	if node == "" {
		return "none"
	}
	return node + " (kill -9)"
}

func rounded(d time.Duration) time.Duration {
	switch {
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	case d > time.Millisecond:
		return d.Round(100 * time.Microsecond)
	default:
		return d.Round(time.Microsecond)
	}
}
