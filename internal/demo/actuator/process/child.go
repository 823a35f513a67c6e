package process

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/logkey"
)

// child is one process.
type child struct {
	id      fleet.NodeID
	admin   string
	nonce   string
	started time.Time
	cmd     *exec.Cmd
	// life ends when the process has ended and its exit is noted.
	life context.Context
	over context.CancelFunc

	// The lock of Nodes guards these.
	ready, asked, forced bool
	drainBegan           time.Time
	drain                time.Duration
}

// terminate sends SIGTERM, or ends the process where there is no such signal.
func (c *child) terminate() {
	// An error says that the process has ended already; its exit is noted elsewhere.
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		_ = c.cmd.Process.Kill()
	}
}

func (c *child) kill() error {
	if err := c.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill node %s: %w", c.id, err)
	}
	return nil
}

// launch starts the process and the two goroutines that watch it until it ends.
func (n *Nodes) launch(c *child, launch Launch) error {
	output, err := os.OpenFile(filepath.Join(n.c.LogDir, string(c.id)+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open its log: %w", err)
	}
	c.cmd = exec.CommandContext(n.life, n.c.Executable, launch.Args...) //nolint:gosec // the demo's own program and arguments
	c.cmd.Env = slices.Concat(os.Environ(), launch.Env)
	c.cmd.Stdout, c.cmd.Stderr = output, output
	c.cmd.SysProcAttr = attributes()

	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		_ = output.Close()
		return errStopped
	}
	if err := n.launcher.run(c.cmd.Start); err != nil {
		_ = output.Close()
		return fmt.Errorf("start %s: %w", n.c.Executable, err)
	}
	c.started = n.c.Now()
	n.children[c.id] = c
	n.change()
	n.c.Logger.Info("a node starts", slog.String(logkey.Node, string(c.id)), slog.Int("pid", c.cmd.Process.Pid), slog.String(logkey.Addr, c.admin))
	n.tasks.Go(func() {
		err := c.cmd.Wait()
		n.ended(c, err)
		_ = output.Close()
	})
	n.tasks.Go(func() { n.probe(c.life, c) })
	return nil
}

// ended notes how a process ended.
func (n *Nodes) ended(c *child, waited error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.c.Now()
	exit := Exit{
		ID: c.id, At: now, Uptime: now.Sub(c.started), Code: -1,
		Asked: c.asked, Forced: c.forced, Drain: c.drain,
	}
	if exit.Drain == 0 && !c.drainBegan.IsZero() {
		exit.Drain = time.Since(c.drainBegan)
	}
	switch state := c.cmd.ProcessState; {
	case state != nil:
		exit.Code, exit.Status = state.ExitCode(), state.String()
	case waited != nil:
		exit.Status = waited.Error()
	}
	if len(n.exits) >= maxExits {
		n.exits = slices.Clone(n.exits[maxExits/2:])
	}
	n.exits = append(n.exits, exit)
	delete(n.children, c.id)
	n.change()
	c.over()

	level := slog.LevelInfo
	if !exit.Asked || exit.Code != 0 {
		level = slog.LevelWarn
	}
	n.c.Logger.LogAttrs(n.life, level, "a node's process ended",
		slog.String(logkey.Node, string(c.id)), slog.String(logkey.Exit, exit.Status),
		slog.Bool("asked", exit.Asked), slog.Bool("forced", exit.Forced))
}
