package main

import (
	"strings"
	"time"

	"github.com/tidegate/tidegate/hack/cluster/remains"
)

type downCommand struct{}

// Run removes the cluster. Its state is thrown away, so nothing is asked to end nicely.
func (downCommand) Run(s *session) error {
	if s.kind {
		return kindDown(s)
	}
	if err := rootOnly(); err != nil {
		return err
	}
	unlock, err := lock(s)
	if err != nil {
		return err
	}
	defer unlock()
	began, guests := time.Now(), remains.Guests(s.at)
	if err := remains.Clean(s.ctx, s.at); err != nil {
		return err
	}
	s.say("The cluster is down in %s: no process, cgroup, mount, changed kernel setting or network namespace is left. Logs: %s",
		time.Since(began).Round(100*time.Millisecond), s.at.Run("log"))
	if len(guests) > 0 {
		s.say("Commands that ran in its network are not the cluster's to end: %s", strings.Join(guests, ", "))
	}
	return nil
}
