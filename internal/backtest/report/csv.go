package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/internal/backtest"
)

// csvHead names the columns of CSV.
var csvHead = []string{
	"trace", "kind", "row", "seed", "seconds", "client_seconds", "bad", "hot", "slow", "full", "waiting",
	"pod_seconds", "oracle_pod_seconds", "pods", "cut", "moved", "reversals", "reversals_per_day", "peak_target", "peak_need",
}

// CSV writes one line a trace, row and seed, below a line that names the columns. bad and its parts (hot, slow, full, waiting)
// are fractions of client_seconds.
func CSV(w io.Writer, results []backtest.Result) error {
	out := csv.NewWriter(w)
	lines := append(make([][]string, 0, 1+len(results)), csvHead)
	for i := range results {
		r := &results[i]
		s := &r.Score
		lines = append(lines, []string{
			plainText(r.Trace), r.Kind.String(), plainText(r.Row), strconv.FormatUint(r.Seed, 10), strconv.Itoa(s.Seconds), number(s.ClientSeconds),
			number(s.Bad), number(s.Hot), number(s.Slow), number(s.Full), number(s.Waiting),
			number(s.PodSeconds), number(s.OraclePodSeconds), number(s.Pods), number(s.Cut), number(s.Moved),
			strconv.Itoa(s.Reversals), number(s.ReversalsPerDay), strconv.Itoa(s.PeakTarget), strconv.Itoa(s.PeakNeed),
		})
	}
	if err := out.WriteAll(lines); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

func number(x float64) string { return strconv.FormatFloat(x, 'g', 10, 64) }

// plainText keeps a spreadsheet from taking a trace's name for a formula.
func plainText(name string) string {
	if strings.ContainsAny(name[:min(1, len(name))], "=+-@\t\r") {
		return "'" + name
	}
	return name
}
