package trace

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// mostLines bounds a file: a value a second for half a year.
	mostLines = 16_000_000
	// longest is the longest trace that is read.
	longest = 400 * 24 * time.Hour
	// coarsest is the widest step that samples are put on: between them clients are interpolated.
	coarsest = time.Minute
)

// sample is one line of a file.
type sample struct {
	at    time.Time
	count float64
}

// ReadCSV reads a header that names a column "time" and one "count", in any order and among others, which are ignored; and a line
// for each sample, in the order of time and at any distance. It scales the counts so that the largest is peakClients. Times are
// RFC 3339, "2006-01-02 15:04:05", or Unix seconds. What cannot be read is named by its line and field.
func ReadCSV(r io.Reader, name string, peakClients float64) (Trace, error) {
	if !(peakClients > 0) || math.IsInf(peakClients, 0) {
		return Trace{}, fmt.Errorf("%s: peak of %v clients: want more than 0", name, peakClients)
	}
	samples, err := readSamples(r)
	if err != nil {
		return Trace{}, fmt.Errorf("%s: %w", name, err)
	}
	most := slices.MaxFunc(samples, func(a, b sample) int { return cmp.Compare(a.count, b.count) }).count
	if most <= 0 {
		return Trace{}, fmt.Errorf("%s: every count is 0: want some load", name)
	}
	t := Trace{Name: name, Kind: Regular, Step: stepOf(samples), Jitter: usualJitter, Notes: holes(samples)}
	t.Clients = resample(samples, t.Step)
	for i := range t.Clients {
		t.Clients[i] *= peakClients / most
	}
	return t, nil
}

// columns are where a file has what is wanted of it.
type columns struct{ time, count int }

func columnsOf(header []string) (columns, error) {
	at := func(want string) int {
		return slices.IndexFunc(header, func(name string) bool {
			return strings.EqualFold(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")), want)
		})
	}
	c := columns{time: at("time"), count: at("count")}
	if c.time < 0 || c.count < 0 {
		return c, fmt.Errorf("line 1 is %.80q: want the header time,count, in any order and with others beside them", strings.Join(header, ","))
	}
	return c, nil
}

func readSamples(r io.Reader) ([]sample, error) {
	reader := csv.NewReader(r)
	reader.TrimLeadingSpace = true
	reader.ReuseRecord = true
	header, err := reader.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the file is empty: want the header time,count and two lines or more")
	case err != nil:
		return nil, fmt.Errorf("header: %w", err)
	}
	at, err := columnsOf(header)
	if err != nil {
		return nil, err
	}
	fields := len(header)
	var samples []sample
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, csv.ErrFieldCount) {
			return nil, err // names its line itself, and there is no record to ask for one
		}
		line, _ := reader.FieldPos(0)
		if err != nil {
			return nil, fmt.Errorf("line %d has %d fields: want %d, as the header names", line, len(record), fields)
		}
		s, err := parseSample(record[at.time], record[at.count])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if err := follows(samples, s); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		samples = append(samples, s)
	}
	if len(samples) < 2 {
		return nil, fmt.Errorf("%d lines of data: want two or more", len(samples))
	}
	return samples, nil
}

func parseSample(when, howMany string) (sample, error) {
	at, err := parseTime(when)
	if err != nil {
		return sample{}, err
	}
	count, err := strconv.ParseFloat(strings.TrimSpace(howMany), 64)
	if err != nil || !(count >= 0) || math.IsInf(count, 0) {
		return sample{}, fmt.Errorf("count is %.40q: want a number, 0 or more", howMany)
	}
	return sample{at: at, count: count}, nil
}

// latest is a second of the year 9999: beyond it are milliseconds that were taken for seconds.
const latest = 253_402_300_799

func parseTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds >= 0 && seconds <= latest {
		return time.Unix(seconds, 0).UTC(), nil
	}
	return time.Time{}, fmt.Errorf("time is %.40q: want 2006-01-02 15:04:05, RFC 3339 or Unix seconds", text)
}

// follows says what is wrong with a sample that comes after others.
func follows(before []sample, s sample) error {
	switch {
	case len(before) == 0:
		return nil
	case len(before) >= mostLines:
		return fmt.Errorf("is one too many: at most %d are read", mostLines)
	case !s.at.After(before[len(before)-1].at):
		return fmt.Errorf("time %s is not after the line before: want lines in the order of time", s.at.Format(time.DateTime))
	case s.at.Sub(before[0].at) > longest:
		return fmt.Errorf("time %s is %.0f days after the first line: at most %.0f are read",
			s.at.Format(time.DateTime), s.at.Sub(before[0].at).Hours()/24, longest.Hours()/24)
	default:
		return nil
	}
}

// stepOf is the step that loses nothing of the samples, within bounds.
func stepOf(samples []sample) time.Duration {
	step := coarsest
	for i := 1; i < len(samples); i++ {
		step = min(step, samples[i].at.Sub(samples[i-1].at))
	}
	return max(time.Second, step.Truncate(time.Second))
}

// resample puts samples at any times onto even steps.
func resample(samples []sample, step time.Duration) []float64 {
	first, last := samples[0].at, samples[len(samples)-1].at
	out := make([]float64, 0, int(last.Sub(first)/step)+2)
	i := 0
	for at := first; !at.After(last) || len(out) < 2; at = at.Add(step) {
		for i < len(samples)-2 && !samples[i+1].at.After(at) {
			i++
		}
		a, b := samples[i], samples[i+1]
		part := min(1, at.Sub(a.at).Seconds()/b.at.Sub(a.at).Seconds())
		out = append(out, a.count+part*(b.count-a.count))
	}
	keepPeaks(out, samples, step)
	return out
}

// keepPeaks gives the nearest step the value of a peak that lies between two, where a straight line from step to step would cut it.
func keepPeaks(out []float64, samples []sample, step time.Duration) {
	for i, s := range samples {
		if i > 0 && s.count < samples[i-1].count || i+1 < len(samples) && s.count < samples[i+1].count {
			continue
		}
		nearest := min(int((s.at.Sub(samples[0].at)+step/2)/step), len(out)-1)
		out[nearest] = max(out[nearest], s.count)
	}
}
