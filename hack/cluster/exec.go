package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/tidegate/tidegate/hack/cluster/network"
)

type execCommand struct {
	Command []string `arg:"" passthrough:"" help:"The command and its arguments, after --."`
}

// Run becomes the command.
func (e execCommand) Run(s *session) error {
	if len(e.Command) > 0 && e.Command[0] == "--" {
		e.Command = e.Command[1:]
	}
	if len(e.Command) == 0 {
		return errors.New("name a command to run: cluster exec -- kubectl get pods -A")
	}
	if s.kind {
		return errKindExec
	}
	if err := rootOnly(); err != nil {
		return err
	}
	setup, err := running(s.at)
	if err != nil {
		return err
	}
	path := setup.Path(os.Getenv("PATH"))
	// The command is looked for where it will look itself.
	if err := os.Setenv("PATH", path); err != nil {
		return err
	}
	program, err := exec.LookPath(e.Command[0])
	if err != nil {
		return fmt.Errorf("find the command: %w", err)
	}
	if err := raiseFileLimit(); err != nil {
		return err
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "KUBECONFIG=") })
	own, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	// With these a test finds what it needs and stops and starts components by itself.
	env = append(env, "KUBECONFIG="+s.at.Kubeconfig(), "TIDEGATE_CLUSTER="+s.at.Description(), "TIDEGATE_CLUSTER_TOOL="+own)
	return network.Become(program, e.Command, env, s.at.Run("resolv.conf"))
}

// raiseFileLimit allows as many open files as the machine does: a swarm has a connection a client. Children inherit it.
func raiseFileLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}
