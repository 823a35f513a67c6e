package remains

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/hack/cluster/network"
	"github.com/tidegate/tidegate/hack/cluster/place"
	"github.com/tidegate/tidegate/hack/cluster/process"
)

// found is a process that belongs to the cluster.
type found struct {
	pid  int
	name string
}

// processes are those in the cluster's pods, those with a record, and, should a record be lost, those whose program was
// built for the cluster, or which run in its network, and were started with its files. Other processes in the network,
// like a test, are their owners' business: they are not ended.
func processes(at place.Place) []found {
	known := make(map[int]bool)
	for _, dir := range cgroups(network.Namespace) {
		members(dir, known)
	}
	// Without the records the clean-up goes on by what it sees.
	records, _ := process.Book{Dir: at.Records()}.All()
	for _, r := range records {
		if r.State() != process.Gone {
			known[r.PID] = true
		}
	}
	inside, _ := os.Stat(network.File) // without a namespace nothing is in it
	var all []found
	for _, pid := range pids() {
		if known[pid] || ours(pid, at, inside) {
			all = append(all, found{pid, command(pid)})
		}
	}
	return all
}

// Programs are the folders of built parts from which a process runs.
func Programs(at place.Place) []string {
	var folders []string
	for _, pid := range pids() {
		if program, err := os.Readlink(proc(pid, "exe")); err == nil && strings.HasPrefix(program, at.Bin()+"/") {
			folders = append(folders, filepath.Dir(program))
		}
	}
	return folders
}

func proc(pid int, file string) string { return filepath.Join("/proc", strconv.Itoa(pid), file) }

func ours(pid int, at place.Place, inside os.FileInfo) bool {
	program, err := os.Readlink(proc(pid, "exe"))
	if err != nil {
		// A kernel thread, or it ended.
		return false
	}
	line, _ := os.ReadFile(proc(pid, "cmdline")) // it ended in between
	mentions := bytes.Contains(line, []byte(at.Run()+"/"))
	if strings.HasPrefix(program, at.Bin()+"/") {
		// kubectl and ctr are built for the cluster too, and a person may be using one.
		return mentions || filepath.Base(program) == "coredns"
	}
	own, err := os.Stat(proc(pid, "ns/net"))
	return err == nil && inside != nil && os.SameFile(own, inside) && mentions
}

// Guests are the processes in the cluster's network that are not the cluster's: commands run by exec, like tests. A stop
// leaves them alone, in a network without a name that goes when they do.
func Guests(at place.Place) []string {
	inside, err := os.Stat(network.File)
	if err != nil {
		return nil
	}
	known := make(map[int]bool)
	for _, p := range processes(at) {
		known[p.pid] = true
	}
	var guests []string
	for _, pid := range pids() {
		own, err := os.Stat(proc(pid, "ns/net"))
		if err == nil && os.SameFile(own, inside) && !known[pid] {
			guests = append(guests, fmt.Sprintf("%d (%s)", pid, command(pid)))
		}
	}
	return guests
}

// pids are all processes but this one.
func pids() []int {
	entries, _ := os.ReadDir("/proc") // without /proc nothing of this runs
	var all []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && pid != os.Getpid() {
			all = append(all, pid)
		}
	}
	return all
}

// command is a process's short name.
func command(pid int) string {
	name, _ := os.ReadFile(proc(pid, "comm")) // it ended in between
	return strings.TrimSpace(string(name))
}

// endProcesses kills until none is left: their state is thrown away, so nothing has to be said goodbye to.
func endProcesses(ctx context.Context, at place.Place) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		all := processes(at)
		if len(all) == 0 {
			return nil
		}
		for _, p := range all {
			if err := syscall.Kill(p.pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("end %s (process %d): %w", p.name, p.pid, err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d processes of the cluster do not end: %w", len(all), ctx.Err())
		case <-tick.C:
		}
	}
}

// shimSockets are the sockets of containerd's helpers, which lie outside of its state folder. A helper that is killed
// leaves its socket behind.
func shimSockets(at place.Place) []string {
	files, _ := filepath.Glob(at.Run("containerd/state/io.containerd.runtime.v2.task/*/*/bootstrap.json")) // the pattern is well formed
	var sockets []string
	for _, file := range files {
		var bootstrap struct {
			Address string `json:"address"`
		}
		text, err := os.ReadFile(file) //nolint:gosec // a file of our containerd
		if err != nil || json.Unmarshal(text, &bootstrap) != nil {
			continue
		}
		if socket, ok := strings.CutPrefix(bootstrap.Address, "unix:///run/containerd/s/"); ok {
			sockets = append(sockets, "/run/containerd/s/"+filepath.Base(socket))
		}
	}
	return sockets
}
