//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

// figures are what the stories measured: reported, never asserted.
type figures struct {
	mu   sync.Mutex
	rows []figure
}

type figure struct{ name, value string }

func newFigures() *figures { return &figures{} }

// note keeps one measured value.
func (f *figures) note(name string, value any) {
	if d, ok := value.(time.Duration); ok {
		value = rounded(d)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows = append(f.rows, figure{name, fmt.Sprint(value)})
}

// spread keeps the quantiles of many values.
func (f *figures) spread(name string, values []time.Duration) {
	if len(values) == 0 {
		f.note(name, "no value")
		return
	}
	sorted := slices.Sorted(slices.Values(values))
	f.note(name, fmt.Sprintf("p50 %s, p90 %s, p99 %s, worst %s of %d", rounded(quantile(sorted, 0.5)),
		rounded(quantile(sorted, 0.9)), rounded(quantile(sorted, 0.99)), rounded(sorted[len(sorted)-1]), len(sorted)))
}

// quantile is the value that the share q of the sorted values does not exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func rounded(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}

// publish prints the table and writes it to a file.
func (f *figures) publish(out io.Writer, path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.rows) == 0 {
		return nil
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleRounded)
	t.AppendHeader(table.Row{"figure", "value"})
	for _, row := range f.rows {
		t.AppendRow(table.Row{row.name, row.value})
	}
	text := t.Render() + "\n"
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the folder of the figures: %w", err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("keep the figures: %w", err)
	}
	if _, err := io.WriteString(out, text); err != nil {
		return fmt.Errorf("print the figures: %w", err)
	}
	return nil
}
