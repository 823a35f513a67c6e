package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest"
	"github.com/tidegate/tidegate/internal/backtest/recording"
	"github.com/tidegate/tidegate/internal/backtest/report"
	"github.com/tidegate/tidegate/internal/backtest/trace"
)

// replay shows what a policy would have decided on a recording.
func (c *backtestCommand) replay(p *process, change recording.Override) error {
	if err := c.replayable(); err != nil {
		return checked(err)
	}
	file, err := os.Open(c.Recording)
	if err != nil {
		return checked(fmt.Errorf("--recording: %w", err))
	}
	defer func() { _ = file.Close() }()
	reader, err := recording.Open(file)
	if err != nil {
		return checked(fmt.Errorf("--recording %s: %w", c.Recording, err))
	}
	files, err := openResults("", c.HTML)
	if err != nil {
		return checked(err)
	}
	defer files.drop()
	outcome, err := recording.Replay(p.ctx, reader, func(recorded policy.Policy) (policy.Policy, error) {
		tried, err := change(recorded)
		if err != nil {
			return tried, err
		}
		return backtest.Without(tried, c.Ablate)
	})
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("the replay was interrupted")
	case err != nil:
		return err
	}
	return errors.Join(report.Replay(p.out, outcome),
		files.html.write(func(w io.Writer) error { return report.ReplayHTML(w, outcome) }))
}

// replayable names the flags that say nothing of a recording, whose fleet is the one that ran: none is left out in silence.
func (c *backtestCommand) replayable() error {
	var given []string
	for _, f := range []struct {
		flag string
		set  bool
	}{
		{"--trace", len(c.Trace) > 0},
		{"--row", len(c.Row) > 0},
		{"--seed", len(c.Seed) > 0},
		{"--peak-clients", c.PeakClients != trace.DefaultPeak},
		{"--never-start", c.NeverStart},
		{"--declared-capacity", c.Declared != 1},
		{"--workers", c.Workers != 0},
		{"--csv", c.CSV != ""},
	} {
		if f.set {
			given = append(given, f.flag)
		}
	}
	var errs []error
	if len(given) > 0 {
		errs = append(errs, fmt.Errorf("%s: only for traces, leave out with --recording, which replays the fleet that ran and is told as a table and as --html",
			strings.Join(given, ", ")))
	}
	for _, name := range []string{"weights", "moves"} {
		if slices.Contains(c.Ablate, name) {
			errs = append(errs, fmt.Errorf("--ablate=%s: changes no count, only where clients are, which --recording does not replay", name))
		}
	}
	_, err := backtest.Without(policy.Default(), c.Ablate)
	return errors.Join(append(errs, err)...)
}
