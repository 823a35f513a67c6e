package network

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Become turns this process into another program that runs inside the namespace and resolves the cluster's names: it
// sees the given resolv.conf in a mount namespace of its own. It returns only when that failed.
func Become(program string, argv, env []string, resolv string) error {
	// The thread that calls execve becomes the process, with its namespaces.
	runtime.LockOSThread()
	if err := enter(); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	// Mounts that the machine makes later still arrive here; ours never leave.
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("detach the mount namespace: %w", err)
	}
	if err := unix.Mount(resolv, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("put the cluster's resolv.conf into place: %w", err)
	}
	if err := unix.Exec(program, argv, env); err != nil {
		return fmt.Errorf("run %s: %w", program, err)
	}
	return nil
}
