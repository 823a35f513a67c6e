// Package remains finds and removes what a cluster leaves on its machine: processes, cgroups, mounts, sockets, its network.
package remains

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tidegate/tidegate/hack/cluster/network"
	"github.com/tidegate/tidegate/hack/cluster/place"
)

// goneTimeout is how long processes and cgroups may take to disappear once they were told to.
const goneTimeout = 20 * time.Second

// Clean removes everything of the cluster except built parts, images and logs, and returns an error that names whatever
// is still there afterwards. Without a cluster it does nothing, and the cluster of another cache it leaves alone.
func Clean(ctx context.Context, at place.Place) error {
	dead, err := mine(owner, at, holders)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, goneTimeout)
	defer cancel()
	sockets := shimSockets(at)
	problems := []error{endProcesses(ctx, at), removeCgroups(ctx, network.Namespace), unmount(at.Run())}
	if dead.Home != "" {
		problems = append(problems, unmount(dead.Run()), sysctlsOf(dead).restore())
	}
	problems = append(problems, sysctlsOf(at).restore())
	for _, file := range slices.Concat(sockets, traces(at)) {
		problems = append(problems, os.RemoveAll(file))
	}
	for _, dir := range defaults {
		os.Remove(dir) //nolint:errcheck,gosec // goes only when it is empty; otherwise it is not ours
	}
	problems = append(problems, network.Down(ctx), forget(at), os.RemoveAll(owner))
	if left := Find(at); len(left) > 0 {
		problems = append(problems, fmt.Errorf("still there: %s", strings.Join(left, "; ")))
	}
	return errors.Join(problems...)
}

// Find names everything that a running cluster has and a stopped one must not have.
func Find(at place.Place) []string {
	var left []string
	for _, p := range processes(at) {
		left = append(left, fmt.Sprintf("process %d (%s)", p.pid, p.name))
	}
	for _, mount := range mounts(at.Run()) {
		left = append(left, "mount "+mount)
	}
	for _, dir := range cgroups(network.Namespace) {
		left = append(left, "cgroup "+dir)
	}
	if network.Exists() {
		left = append(left, "network namespace "+network.Namespace)
	}
	return append(left, sysctlsOf(at).changed()...)
}

// forget removes the cluster's state. The logs stay for whoever wants to know what happened, and the kernel's settings
// until they are restored.
func forget(at place.Place) error {
	entries, err := os.ReadDir(at.Run())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	problems := []error{err}
	for _, entry := range entries {
		if entry.Name() != "log" && entry.Name() != sysctlFile {
			problems = append(problems, os.RemoveAll(at.Run(entry.Name())))
		}
	}
	return errors.Join(problems...)
}

// defaults are folders that the kubelet and containerd make even when they are told to work elsewhere, the innermost first.
var defaults = []string{
	"/var/lib/kubelet/device-plugins", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods",
	"/run/containerd/s", "/run/containerd/runc", "/run/containerd", "/var/lib/cni/results", "/var/lib/cni",
}

// traces are the files that container software writes to fixed places of the machine.
func traces(at place.Place) []string {
	files, _ := filepath.Glob("/var/lib/cni/results/" + network.Namespace + "-*") // the pattern is well formed
	links, _ := filepath.Glob("/var/log/containers/*")                            // the pattern is well formed
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, at.Run()) {
			files = append(files, link)
		}
	}
	return append(files, deviceSockets()...)
}

// deviceSockets are those of the kubelet for device plugins, whose place is fixed, unless another kubelet serves there.
func deviceSockets() []string {
	const dir = "/var/lib/kubelet/device-plugins/"
	conn, err := net.Dial("unix", dir+"kubelet.sock") //nolint:noctx // a local socket answers or refuses at once
	if err != nil {
		return []string{dir + "kubelet.sock", dir + "kubelet_internal_checkpoint"}
	}
	conn.Close() //nolint:errcheck,gosec // only whether it opens counts
	return nil
}
