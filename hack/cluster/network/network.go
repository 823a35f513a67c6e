// Package network makes the cluster's own network: a namespace with loopback and a bridge as the node's address, and no
// way out of it.
package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// The cluster's addresses.
const (
	Namespace      = "tidegate"
	Node           = "10.99.0.1"
	PodNetwork     = "10.98.0.0/16"
	ServiceNetwork = "10.97.0.0/16"
	// Kubernetes is the address of the Service "kubernetes", the first of the service network.
	Kubernetes = "10.97.0.1"
)

// File is the namespace's file, which nsenter takes.
const File = "/var/run/netns/" + Namespace

// Exists reports whether the namespace is there.
func Exists() bool {
	_, err := os.Stat(File)
	return err == nil
}

// Up makes the namespace, unless it is there.
func Up(ctx context.Context) error {
	if Exists() {
		return nil
	}
	steps := [][]string{
		{"netns", "add", Namespace},
		{"-n", Namespace, "link", "set", "lo", "up"},
		// A bridge without ports: there may be no dummy device.
		{"-n", Namespace, "link", "add", "node0", "type", "bridge"},
		{"-n", Namespace, "addr", "add", Node + "/24", "dev", "node0"},
		{"-n", Namespace, "link", "set", "node0", "up"},
		// Several components look for the interface of the default route; what takes it ends at the bridge.
		{"-n", Namespace, "route", "add", "default", "dev", "node0"},
	}
	for _, step := range steps {
		if err := ip(ctx, step...); err != nil {
			return err
		}
	}
	// Pods reach each other, the node and Services through the node.
	return Inside(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600) })
}

// Down removes the namespace with every interface and rule in it. Processes inside must have ended before.
func Down(ctx context.Context) error {
	if !Exists() {
		return nil
	}
	if err := ip(ctx, "netns", "del", Namespace); err != nil {
		return err
	}
	// The first namespace of a machine made this folder a mount of its own. It goes when nobody else uses it.
	dir := filepath.Dir(File)
	if os.Remove(dir) != nil && empty(dir) {
		return errors.Join(unix.Unmount(dir, unix.MNT_DETACH), os.Remove(dir))
	}
	return nil
}

func empty(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) == 0
}

func ip(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput() //nolint:gosec // the arguments are constants of this package
	if err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}

// Inside runs f on a thread that is in the namespace. What f opens stays in the namespace; goroutines it starts do not.
func Inside(f func() error) error {
	result := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and no other code runs on it in the wrong network.
		runtime.LockOSThread()
		if err := enter(); err != nil {
			result <- err
			return
		}
		result <- f()
	}()
	return <-result
}

// enter moves the calling thread into the namespace.
func enter() error {
	file, err := os.Open(File)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("the cluster's network namespace is missing: the cluster is not up")
	}
	if err != nil {
		return fmt.Errorf("open the network namespace: %w", err)
	}
	defer file.Close() //nolint:errcheck // only its handle was needed
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network namespace (this needs root): %w", err)
	}
	return nil
}

// Dial connects from inside the namespace to a literal IP address and port.
func Dial(ctx context.Context, kind, address string) (net.Conn, error) {
	var conn net.Conn
	err := Inside(func() (err error) {
		var d net.Dialer
		conn, err = d.DialContext(ctx, kind, address)
		return err
	})
	return conn, err
}
