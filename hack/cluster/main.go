// Command cluster runs a real Kubernetes with KEDA, Redis and Kafka on one Linux machine, in a network of its own, from
// programs that it builds once.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/tidegate/tidegate/hack/cluster/place"
)

const description = `Run a real Kubernetes with KEDA, Redis and Kafka on this machine.

Everything runs as root in the network namespace "tidegate", which has no way out, under
${XDG_CACHE_HOME:-$HOME/.cache}/tidegate/cluster: bin/ holds the programs, built once (30 to 60 minutes on two cores),
run/ the running cluster and its logs. Use it with: cluster exec -- kubectl get pods -A

up goes on with a cluster that it finds, with all that is in it; up --fresh ends it first and begins with empty data. Of
each program the two newest builds are kept.`

// grammar is the command line.
type grammar struct {
	Kind bool `help:"Use kind and Docker instead, for up, down, status and load-image only; also CLUSTER=kind."`

	Up        upCommand        `cmd:"" help:"Build what is missing and start the cluster; what runs already stays."`
	Down      downCommand      `cmd:"" help:"Stop everything and leave nothing but built programs, images and logs."`
	Status    statusCommand    `cmd:"" help:"Show each component, the node and the pods; fails when something is down."`
	Exec      execCommand      `cmd:"" help:"Run a command in the cluster's network, with its names, KUBECONFIG and kubectl."`
	Build     buildCommand     `cmd:"" help:"Build the programs only."`
	LoadImage loadImageCommand `cmd:"" help:"Give the node a container image: an archive, a static program, or this machine's nginx."`
	Start     startCommand     `cmd:"" help:"Start a component that is down."`
	Stop      stopCommand      `cmd:"" help:"End a component with SIGTERM."`
	Restart   restartCommand   `cmd:"" help:"Stop and start a component."`
	Kill      killCommand      `cmd:"" help:"End a component with SIGKILL."`
	Pause     pauseCommand     `cmd:"" help:"Freeze a component with SIGSTOP."`
	Resume    resumeCommand    `cmd:"" help:"Let a frozen component run on."`
}

// session is what a command runs with.
type session struct {
	ctx  context.Context //nolint:containedctx // kong calls Run methods with bound values only
	out  io.Writer
	at   place.Place
	kind bool
}

func (s *session) say(format string, args ...any) {
	fmt.Fprintf(s.out, format+"\n", args...) //nolint:errcheck // a terminal that is gone reads nothing
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	var root grammar
	parser, err := kong.New(&root, kong.Name("cluster"), kong.Description(description), kong.Writers(out, errOut),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}))
	if err != nil {
		return complain(errOut, err)
	}
	chosen, err := parser.Parse(args)
	if err != nil {
		return complain(errOut, err)
	}
	at, err := place.Find()
	if err != nil {
		return complain(errOut, err)
	}
	kind := root.Kind || os.Getenv("CLUSTER") == "kind"
	if err := chosen.Run(&session{ctx: ctx, out: out, at: at, kind: kind}); err != nil {
		return complain(errOut, err)
	}
	return 0
}

func complain(errOut io.Writer, err error) int {
	fmt.Fprintf(errOut, "cluster: %v\n", err) //nolint:errcheck // there is nobody left to tell
	return 1
}

// rootOnly explains the one thing that every command on this machine needs.
func rootOnly() error {
	if os.Geteuid() != 0 {
		return errors.New("the local cluster needs root: it makes network namespaces, mounts and containers (or use --kind with Docker)")
	}
	return nil
}
