package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

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

// Run is the backtest.
func (c *backtestCommand) Run(p *process) error {
	change, err := c.change()
	if err != nil {
		return checked(err)
	}
	if c.Recording != "" {
		return c.replay(p, change)
	}
	options, err := c.options()
	if err != nil {
		return checked(err)
	}
	options.Change = change
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
	return c.tell(p, func(w io.Writer) error { return report.Table(w, results) },
		func(w io.Writer) error { return report.CSV(w, results) }, func(w io.Writer) error { return report.HTML(w, results) })
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
func (c *backtestCommand) options() (backtest.Options, error) {
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
	for _, name := range c.Trace {
		if !strings.HasSuffix(name, ".csv") {
			o.Synthetic = append(o.Synthetic, name)
			continue
		}
		t, err := readTrace(name, c.PeakClients)
		if err != nil {
			errs = append(errs, fmt.Errorf("--trace: %w", err))
			continue
		}
		o.Recorded = append(o.Recorded, t)
	}
	return o, errors.Join(errs...)
}

func readTrace(path string, peak float64) (trace.Trace, error) {
	file, err := os.Open(path) //nolint:gosec // the user names the file
	if err != nil {
		return trace.Trace{}, err
	}
	t, err := trace.ReadCSV(file, filepath.Base(path), peak)
	return t, errors.Join(err, file.Close())
}

// replay shows what a policy would have decided on a recording.
func (c *backtestCommand) replay(p *process, change recording.Override) error {
	file, err := os.Open(c.Recording)
	if err != nil {
		return checked(fmt.Errorf("--recording: %w", err))
	}
	defer func() { _ = file.Close() }()
	reader, err := recording.Open(file)
	if err != nil {
		return checked(fmt.Errorf("--recording %s: %w", c.Recording, err))
	}
	outcome, err := recording.Replay(p.ctx, reader, change)
	if err != nil {
		return err
	}
	return c.tell(p, func(w io.Writer) error { return report.Replay(w, outcome) },
		nil, func(w io.Writer) error { return report.ReplayHTML(w, outcome) })
}

// tell writes what was found to the terminal and to the files that were asked for.
func (c *backtestCommand) tell(p *process, table, csv, html func(io.Writer) error) error {
	if err := table(p.out); err != nil {
		return err
	}
	if c.CSV != "" && csv == nil {
		return checked(errors.New("--csv is for traces: a replay is told as a table and as --html"))
	}
	return errors.Join(written("--csv", c.CSV, csv), written("--html", c.HTML, html))
}

// written fills a file, when one was asked for.
func written(flag, path string, write func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	file, err := os.Create(path) //nolint:gosec // the user names the file
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	return errors.Join(write(file), file.Close())
}
