// Package command is the binary's front door: it reads flags and environment, sets up logs, and runs one process.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/alecthomas/kong"

	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/version"
)

// Exit codes of the process.
const (
	exitOK     = 0
	exitFailed = 1
	// exitUsage is for settings that cannot work; nothing was started.
	exitUsage = 2
)

const description = `Autoscaling for fleets of long-lived connections on Kubernetes.

A fleet is the pods of one Deployment. Its nodes (tidegate socket) report their load; the balancer decides how many
nodes there should be, which one leaves, and which node serves which client; the scaler tells KEDA.

Every flag can be set by the environment variable in brackets. Durations are written as 500ms, 30s or 5m, sizes as
512MiB, fractions as 0.85.`

// grammar is the whole command line.
type grammar struct {
	Log logOptions `embed:"" prefix:"log-" group:"Logs:"`

	Socket   socketCommand   `cmd:"" help:"Run a WebSocket node of a fleet."`
	Balancer balancerCommand `cmd:"" help:"Run the balancer: decisions, shard table, resolve, status page. Run two or more; one leads."`
	Scaler   scalerCommand   `cmd:"" help:"Serve the decisions to KEDA as an external scaler. Run two or more behind a headless Service."`
	Webhook  webhookCommand  `cmd:"" help:"Inject drain hooks into pods, and name the pod that leaves. Run two or more; needs Kubernetes."`
	Demo     demoCommand     `cmd:"" help:"Show the whole loop on this machine in two minutes; needs nothing else."`
	Backtest backtestCommand `cmd:"" help:"Compare policies on traces in a simulated fleet, or replay a recording under another policy."`
	Record   recordCommand   `cmd:"" help:"Write what a fleet's balancer sees and decides to a file that backtest can replay; changes nothing."`
	Version  versionCommand  `cmd:"" help:"Print the version."`
}

// process is what a subcommand gets to run with.
type process struct {
	ctx    context.Context //nolint:containedctx // kong calls Run methods with bound values only
	logger *slog.Logger
	out    io.Writer
	errOut io.Writer
}

// exited carries an exit code out of kong, which ends the process by itself after --help.
type exited int

// Run reads the arguments, runs the subcommand until it ends or ctx does, and returns the exit code.
func Run(ctx context.Context, args []string, out, errOut io.Writer) (code int) {
	var root grammar
	parser, err := kong.New(&root,
		kong.Name("tidegate"),
		kong.Description(description),
		kong.UsageOnError(),
		kong.Writers(out, errOut),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
	)
	if err != nil {
		return complain(errOut, err, exitFailed)
	}
	defer func() {
		switch left := recover().(type) {
		case nil:
		case exited:
			code = int(left)
		default:
			panic(left)
		}
	}()
	chosen, err := parser.Parse(args)
	if err != nil {
		return complain(errOut, fmt.Errorf("%w\nSee: tidegate %s--help", err, subcommand(args)), exitUsage)
	}
	logger, err := root.Log.logger(errOut)
	if err != nil {
		return complain(errOut, err, exitUsage)
	}
	logger = logger.With(slog.String(logkey.Component, chosen.Command()))
	adopt(logger)
	err = chosen.Run(&process{ctx: ctx, logger: logger, out: out, errOut: errOut})
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return complain(errOut, err, exitUsage)
	default:
		return complain(errOut, err, exitFailed)
	}
}

// subcommand is the first word, so that the hint leads to the right help.
func subcommand(args []string) string {
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		return args[0] + " "
	}
	return ""
}

func complain(errOut io.Writer, err error, code int) int {
	fmt.Fprintf(errOut, "tidegate: %v\n", err) //nolint:errcheck // there is nobody left to tell
	return code
}

// usageError marks settings that cannot work, found before anything was started.
type usageError struct{ err error }

func (u *usageError) Error() string { return u.err.Error() }
func (u *usageError) Unwrap() error { return u.err }

// checked returns the joined problems of a process's settings as one usage error.
func checked(problems ...error) error {
	if err := errors.Join(problems...); err != nil {
		return &usageError{err: err}
	}
	return nil
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(p *process) error {
	_, err := fmt.Fprintln(p.out, "tidegate", version.String())
	return err
}
