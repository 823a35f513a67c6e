// Package report tells what backtests and replays found: a table for a terminal, lines for a spreadsheet, and one HTML file
// with charts that needs nothing but a browser.
package report

import "github.com/tidegate/tidegate/internal/backtest"

const (
	// ourRow is the policy that the goals are for.
	ourRow = backtest.RowCount
	// referenceRow is the one that some of the goals are measured against.
	referenceRow = backtest.RowBoth
)
