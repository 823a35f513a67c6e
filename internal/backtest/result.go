package backtest

import (
	"github.com/tidegate/tidegate/internal/backtest/score"
	"github.com/tidegate/tidegate/internal/backtest/trace"
)

// Result is one row on one trace with one seed.
type Result struct {
	Trace string     `json:"trace"`
	Kind  trace.Kind `json:"-"`
	Row   string     `json:"row"`
	Seed  uint64     `json:"seed"`
	// NeverStart says that no pod started that was created after the first.
	NeverStart bool        `json:"neverStart,omitempty"`
	Score      score.Score `json:"score"`
	Series     Series      `json:"series"`
}

// Series is a run in a few hundred points, for charts. All slices have the same length.
type Series struct {
	// At is seconds since the trace began, the end of the span that the point tells about.
	At []float64 `json:"at"`
	// Need is the oracle's pods, Serving the pods that serve, Asked the count that is asked for: the largest of the span.
	Need    []float64 `json:"need"`
	Serving []float64 `json:"serving"`
	Asked   []float64 `json:"asked"`
	// Clients want to be connected, on the mean of the span.
	Clients []float64 `json:"clients"`
	// Bad are client-seconds that fared badly in the span, over all of its client-seconds.
	Bad []float64 `json:"bad"`
	// Moved and Cut are clients moved, and those of them that were cut, in the span.
	Moved []float64 `json:"moved"`
	Cut   []float64 `json:"cut"`
}
