package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/tidegate/tidegate/internal/backtest"
	"github.com/tidegate/tidegate/internal/backtest/recording"
	"github.com/tidegate/tidegate/internal/backtest/report"
	"github.com/tidegate/tidegate/internal/backtest/trace"
)

// backtestCommand compares policies on traces, or replays a recording.
type backtestCommand struct {
	Trace       []string `env:"TIDEGATE_BACKTEST_TRACE" help:"Built-in trace (week, ramp, sawtooth, storm, night, noisy, idle, flash, bursts, hotspot) or a file of time,count; may be given again. All built-in ones by default."`
	Row         []string `env:"TIDEGATE_BACKTEST_ROW" help:"Policy to run (hpa-cpu, keda-connections, keda-both, knative, table, count, count-sticky, oracle); may be given again. All by default."`
	Seed        []uint64 `env:"TIDEGATE_BACKTEST_SEED" help:"Seed of chance; may be given again. 1, 2 and 3 by default."`
	PeakClients float64  `env:"TIDEGATE_BACKTEST_PEAK_CLIENTS" default:"120000" help:"Clients at the peak of a trace."`
	Ablate      []string `env:"TIDEGATE_BACKTEST_ABLATE" help:"Part to take away from the count: learning, trend, margin, weights, moves, storm; may be given again."`
	NeverStart  bool     `env:"TIDEGATE_BACKTEST_NEVER_START" help:"No pod starts that is asked for after the beginning."`
	Declared    float64  `name:"declared-capacity" env:"TIDEGATE_BACKTEST_DECLARED_CAPACITY" default:"1" help:"Declared connections a pod over what one can really carry: 1.3 is 30 % too high."`
	PolicyFile  string   `type:"path" env:"TIDEGATE_BACKTEST_POLICY_FILE" help:"Policy file to try out, as the balancer reads it."`
	Set         []string `sep:"none" env:"TIDEGATE_BACKTEST_SET" help:"Setting of the policy to try out, as name=value; may be given again."`
	Recording   string   `type:"path" env:"TIDEGATE_BACKTEST_RECORDING" help:"Recording to replay instead of traces: what this policy would have decided."`
	CSV         string   `name:"csv" type:"path" env:"TIDEGATE_BACKTEST_CSV" help:"File to write the results to, one line a run."`
	HTML        string   `name:"html" type:"path" env:"TIDEGATE_BACKTEST_HTML" help:"File to write the results to, with charts."`
	Workers     int      `env:"TIDEGATE_BACKTEST_WORKERS" default:"0" help:"Runs at once; 0 is one a core."`
	Plain       bool     `env:"TIDEGATE_BACKTEST_PLAIN" help:"Show progress as lines, not as a bar."`
}

// backtestGC is by how many percent the heap of a backtest may grow before it is collected.
const backtestGC = 400

// Run is the backtest.
func (c *backtestCommand) Run(p *process) error {
	defer debug.SetGCPercent(debug.SetGCPercent(backtestGC))
	// Once it was asked to end, it ends at once when it is asked again.
	again := context.AfterFunc(p.ctx, func() { signal.Reset(os.Interrupt, syscall.SIGTERM) })
	defer again()
	change, err := c.change()
	if err != nil {
		return checked(err)
	}
	if c.Recording != "" {
		return c.replay(p, change)
	}
	options, err := c.options(p.errOut)
	if err != nil {
		return checked(err)
	}
	options.Change = change
	files, err := openResults(c.CSV, c.HTML)
	if err != nil {
		return checked(err)
	}
	defer files.drop()
	shown := newBacktestProgress(p.errOut, c.Plain)
	options.Progress = shown.at
	results, err := backtest.Run(p.ctx, options)
	shown.end()
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("the backtest was interrupted")
	case err != nil:
		return checked(err)
	}
	return errors.Join(report.Table(p.out, results),
		files.csv.write(func(w io.Writer) error { return report.CSV(w, results) }),
		files.html.write(func(w io.Writer) error { return report.HTML(w, results) }))
}

// change is what the user makes of a policy.
func (c *backtestCommand) change() (recording.Override, error) {
	var file io.Reader
	if c.PolicyFile != "" {
		body, err := os.ReadFile(c.PolicyFile)
		if err != nil {
			return nil, fmt.Errorf("--policy-file: %w", err)
		}
		file = bytes.NewReader(body)
	}
	return recording.Change(file, c.Set)
}

// options are those of the runs; files of traces are read here.
func (c *backtestCommand) options(told io.Writer) (backtest.Options, error) {
	o := backtest.Options{
		Rows: c.Row, Seeds: c.Seed, PeakClients: c.PeakClients, Ablate: c.Ablate,
		NeverStart: c.NeverStart, DeclaredCapacity: c.Declared, Workers: c.Workers,
	}
	var errs []error
	if !(c.PeakClients > 0) {
		errs = append(errs, fmt.Errorf("--peak-clients is %v: want more than 0", c.PeakClients))
	}
	if !(c.Declared > 0) {
		errs = append(errs, fmt.Errorf("--declared-capacity is %v: want more than 0", c.Declared))
	}
	if c.Workers < 0 {
		errs = append(errs, fmt.Errorf("--workers is %d: want 0 or more", c.Workers))
	}
	names := traceNames(c.Trace)
	for i, name := range c.Trace {
		if !isFile(name) {
			o.Synthetic = append(o.Synthetic, name)
			continue
		}
		t, err := readTrace(name, names[i], c.PeakClients)
		if err != nil {
			errs = append(errs, fmt.Errorf("--trace: %w", err))
			continue
		}
		for _, note := range t.Notes {
			fmt.Fprintf(told, "%s: %s\n", name, note) //nolint:errcheck // a remark is worth no failure
		}
		o.Recorded = append(o.Recorded, t)
	}
	return o, errors.Join(errs...)
}

func isFile(name string) bool { return strings.HasSuffix(name, ".csv") }

// traceNames are what traces are called in the results: files by their name, or by their path where two have one name.
func traceNames(given []string) []string {
	count := map[string]int{}
	for _, name := range given {
		count[filepath.Base(name)]++
	}
	names := make([]string, len(given))
	for i, name := range given {
		names[i] = filepath.Base(name)
		if isFile(name) && count[names[i]] > 1 {
			names[i] = filepath.Clean(name)
		}
	}
	return names
}

func readTrace(path, name string, peak float64) (trace.Trace, error) {
	file, err := os.Open(path) //nolint:gosec // the user names the file
	if err != nil {
		return trace.Trace{}, err
	}
	t, err := trace.ReadCSV(file, name, peak)
	return t, errors.Join(err, file.Close())
}
