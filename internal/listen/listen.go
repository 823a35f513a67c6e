// Package listen opens the ports of every process and says in words what is wrong with an address.
package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// maxPort is the last TCP port.
const maxPort = 65535

// Setting is an address together with the flag and the environment variable that set it, for errors that name the fix.
type Setting struct {
	Flag    string
	Env     string
	Address string
}

// Check reports an address that cannot be listened on anywhere.
func (s Setting) Check() error {
	_, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return fmt.Errorf("%s is %q: write host:port or :port", s.Flag, s.Address)
	}
	if number, err := strconv.Atoi(port); err != nil || number < 0 || number > maxPort {
		return fmt.Errorf("%s is %q: the port must be a number from 0 to %d (0 takes a free one)", s.Flag, s.Address, maxPort)
	}
	return nil
}

// Open listens on the address over TCP.
func (s Setting) Open(ctx context.Context) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is %q, and another process has that port: stop it, or give another port by %s or %s: %w",
			s.Flag, s.Address, s.Flag, s.Env, err)
	case err != nil:
		return nil, fmt.Errorf("%s is %q, which cannot be listened on: give an address of this machine by %s or %s: %w",
			s.Flag, s.Address, s.Flag, s.Env, err)
	}
	return listener, nil
}
