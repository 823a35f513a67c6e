package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/hack/cluster/component"
	"github.com/tidegate/tidegate/hack/cluster/process"
)

// stopGrace is how long a component may take to end by itself.
const stopGrace = 20 * time.Second

// target is the component that a command is about.
type target struct {
	Component string `arg:"" help:"The component, as in the status."`
}

type (
	startCommand   struct{ target }
	stopCommand    struct{ target }
	restartCommand struct{ target }
	killCommand    struct{ target }
	pauseCommand   struct{ target }
	resumeCommand  struct{ target }
)

// Run starts the component and waits until it does its work.
func (c startCommand) Run(s *session) error { return c.start(s) }

// Run ends the component as an operator would.
func (c stopCommand) Run(s *session) error {
	return c.apply(s, "stopped", func(r process.Record) error { return r.Stop(s.ctx, stopGrace) })
}

// Run stops and starts.
func (c restartCommand) Run(s *session) error {
	if err := stopCommand(c).Run(s); err != nil {
		return err
	}
	return c.start(s)
}

// Run ends the component as a crash would.
func (c killCommand) Run(s *session) error {
	return c.apply(s, "killed", func(r process.Record) error { return r.Kill(s.ctx) })
}

// Run freezes the component.
func (c pauseCommand) Run(s *session) error {
	return c.apply(s, "paused", func(r process.Record) error { return r.Signal(unix.SIGSTOP) })
}

// Run lets the component run on.
func (c resumeCommand) Run(s *session) error {
	return c.apply(s, "resumed", func(r process.Record) error { return r.Signal(unix.SIGCONT) })
}

func (t target) start(s *session) error {
	setup, c, err := t.find(s)
	if err != nil {
		return err
	}
	record, err := c.Start(s.ctx, setup)
	if err != nil {
		return err
	}
	if err := c.Await(s.ctx, setup); err != nil {
		return err
	}
	s.say("%s started: process %d", c.Name, record.PID)
	return describe(setup, true)
}

func (t target) find(s *session) (component.Setup, component.Component, error) {
	if s.kind {
		return component.Setup{}, component.Component{}, fmt.Errorf("kind runs %s out of reach: faults need the local cluster", t.Component)
	}
	c, err := component.Find(t.Component)
	if err != nil {
		return component.Setup{}, c, err
	}
	setup, err := running(s.at)
	return setup, c, err
}

// apply does something to the component's process, which must be there.
func (t target) apply(s *session, done string, to func(process.Record) error) error {
	setup, c, err := t.find(s)
	if err != nil {
		return err
	}
	record, err := component.Book(s.at).Find(c.Name)
	if err != nil {
		return err
	}
	if record.State() == process.Gone {
		return fmt.Errorf("%s is down already", c.Name)
	}
	if err := to(record); err != nil {
		return err
	}
	s.say("%s %s: process %d", c.Name, done, record.PID)
	return describe(setup, true)
}
