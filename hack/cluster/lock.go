package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lock keeps two commands from building, starting or stopping at the same time. The kernel lets go of it when this
// process ends in whatever way.
func lock(s *session) (unlock func(), err error) {
	if err := os.MkdirAll(s.at.Home, 0o755); err != nil { //nolint:gosec // programs in it are for everyone on this machine
		return nil, fmt.Errorf("make the cluster's folder: %w", err)
	}
	file, err := os.OpenFile(s.at.Lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the cluster's lock: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(errors.New("another command builds, starts or stops the cluster right now: wait for it"), file.Close())
	}
	return func() { file.Close() }, nil //nolint:errcheck,gosec // nothing was written
}
