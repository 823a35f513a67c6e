// Package answers is a table of what a real HorizontalPodAutoscaler answered, look by look, and the check that package hpa
// answers the same. The table is recorded on a cluster by the story TestFullHPAAnswers of hack/e2e.
package answers

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/internal/hpa"
)

// Row is one look of the HPA at one external metric of type AverageValue.
type Row struct {
	// Case names the run of looks that the row belongs to. Rows of a case follow each other.
	Case string
	// At is when the HPA looked, since the case's first look.
	At time.Duration
	// Scale is what the HPA found, and HPA what it goes by.
	Scale hpa.Scale
	HPA   hpa.Spec
	// Metric was told; with an Err none could be read.
	Metric hpa.Metric
	// Answer is spec.replicas afterwards.
	Answer int
}

// errUnread is the metric of a look at which none could be read.
var errUnread = errors.New("the metric could not be read")

// failed stands in the table for a metric that could not be read.
const failed = "failed"

// columns of the table.
var columns = []string{"case", "at_ms", "spec", "status", "value_milli", "target_milli", "min", "max", "up", "down", "answer"}

// Unread is the metric of a look at which none could be read.
func Unread(target hpa.Milli) hpa.Metric { return hpa.Metric{Target: target, Err: errUnread} }

// Check replays every case with package hpa. The error joins one difference a case, the first.
func Check(rows []Row) error {
	var errs []error
	wrong := map[string]bool{}
	past := map[string]hpa.History{}
	for _, r := range rows {
		if wrong[r.Case] {
			continue // what follows a wrong answer follows another fleet
		}
		now := time.Unix(0, 0).Add(r.At)
		got, limit, next := hpa.Replicas(now, r.HPA, r.Scale, []hpa.Metric{r.Metric}, past[r.Case])
		past[r.Case] = next
		if got != r.Answer {
			wrong[r.Case] = true
			errs = append(errs, fmt.Errorf("%s, at %s, spec %d, status %d, metric %s: the HPA answered %d, package hpa %d (%s)",
				r.Case, r.At, r.Scale.Spec, r.Scale.Status, valueText(r.Metric), r.Answer, got, limit))
		}
	}
	return errors.Join(errs...)
}

// Write writes the table.
func Write(w io.Writer, rows []Row) error {
	out := csv.NewWriter(w)
	lines := append(make([][]string, 0, 1+len(rows)), columns)
	for _, r := range rows {
		lines = append(lines, []string{
			r.Case, strconv.FormatInt(r.At.Milliseconds(), 10), strconv.Itoa(r.Scale.Spec), strconv.Itoa(r.Scale.Status),
			valueText(r.Metric), strconv.FormatInt(int64(r.Metric.Target), 10), strconv.Itoa(r.HPA.Min), strconv.Itoa(r.HPA.Max),
			rulesText(r.HPA.Up), rulesText(r.HPA.Down), strconv.Itoa(r.Answer),
		})
	}
	if err := out.WriteAll(lines); err != nil {
		return fmt.Errorf("write the HPA's answers: %w", err)
	}
	return nil
}

func valueText(m hpa.Metric) string {
	if m.Err != nil {
		return failed
	}
	return strconv.FormatInt(int64(m.Value), 10)
}

// Read reads what Write wrote. An error names the line and the field.
func Read(r io.Reader) ([]Row, error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord = len(columns)
	lines, err := in.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("HPA's answers: %w", err)
	}
	if len(lines) == 0 || !slices.Equal(lines[0], columns) {
		return nil, fmt.Errorf("HPA's answers: the first line is not %s", strings.Join(columns, ","))
	}
	rows := make([]Row, 0, len(lines)-1)
	for i, line := range lines[1:] {
		row, err := parse(line)
		if err != nil {
			return nil, fmt.Errorf("HPA's answers, line %d: %w", i+2, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func parse(line []string) (Row, error) {
	row := Row{Case: line[0]}
	var errs []error
	whole := func(column int) int {
		n, err := strconv.Atoi(line[column])
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %q: want a whole number", columns[column], line[column]))
		}
		return n
	}
	row.At = time.Duration(whole(1)) * time.Millisecond
	row.Scale = hpa.Scale{Spec: whole(2), Status: whole(3)}
	row.Metric.Target = hpa.Milli(whole(5))
	if line[4] == failed {
		row.Metric = Unread(row.Metric.Target)
	} else {
		row.Metric.Value = hpa.Milli(whole(4))
	}
	row.HPA.Min, row.HPA.Max = whole(6), whole(7)
	var err error
	if row.HPA.Up, err = parseRules(line[8]); err != nil {
		errs = append(errs, fmt.Errorf("up: %w", err))
	}
	if row.HPA.Down, err = parseRules(line[9]); err != nil {
		errs = append(errs, fmt.Errorf("down: %w", err))
	}
	row.Answer = whole(10)
	return row, errors.Join(errs...)
}
