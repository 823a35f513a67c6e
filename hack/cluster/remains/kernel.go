package remains

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mounted is one line of /proc/self/mountinfo.
type mounted struct{ point, kind string }

// mountTable reads the mounts that this process sees, in the order in which they were made.
func mountTable() []mounted {
	text, _ := os.ReadFile("/proc/self/mountinfo") // without /proc nothing of this runs
	return parseMounts(string(text))
}

func parseMounts(text string) []mounted {
	const pointField, kindField = 4, 0 // the second counted after the separator
	var table []mounted
	for line := range strings.Lines(text) {
		before, after, separated := strings.Cut(line, " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if separated && len(fields) > pointField && len(rest) > kindField {
			table = append(table, mounted{point: unescape(fields[pointField]), kind: rest[kindField]})
		}
	}
	return table
}

// unescape undoes the kernel's octal escapes for blanks in paths.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

// mounts are the mount points under a folder, the latest first.
func mounts(dir string) []string {
	var points []string
	for _, m := range mountTable() {
		if strings.HasPrefix(m.point, dir+"/") {
			points = append(points, m.point)
		}
	}
	slices.Reverse(points)
	return points
}

func unmount(dir string) error {
	var problems []error
	for _, point := range mounts(dir) {
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
			problems = append(problems, fmt.Errorf("unmount %s: %w", point, err))
		}
	}
	return errors.Join(problems...)
}

// cgroups are the existing folders of a top level cgroup, one for each hierarchy of cgroup v1, or one for v2.
func cgroups(name string) []string {
	return slices.DeleteFunc(hierarchies(name), func(dir string) bool {
		_, err := os.Stat(dir)
		return err != nil
	})
}

func hierarchies(name string) []string {
	var dirs []string
	for _, m := range mountTable() {
		if m.kind == "cgroup" || m.kind == "cgroup2" {
			dirs = append(dirs, filepath.Join(m.point, name))
		}
	}
	return dirs
}

// MakeCgroups makes a top level cgroup in every hierarchy; the kubelet takes only one that exists.
func MakeCgroups(name string) error {
	for _, dir := range hierarchies(name) {
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a folder of the kernel's
			return fmt.Errorf("make cgroup %s: %w", dir, err)
		}
		if err := delegate(filepath.Dir(dir), dir); err != nil {
			return err
		}
	}
	return nil
}

// controllers are those that the kubelet insists on in its cgroup, as far as the machine has them.
var controllers = []string{"cpu", "cpuset", "memory", "pids", "hugetlb"}

// delegate passes the controllers of cgroup v2 down; v1 has no such file. In a hybrid setup v2 has no controllers.
func delegate(parents ...string) error {
	for _, dir := range parents {
		available, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers")) //nolint:gosec // a file of the kernel's
		if err != nil {
			return nil //nolint:nilerr // cgroup v1
		}
		file := filepath.Join(dir, "cgroup.subtree_control")
		enabled, err := os.ReadFile(file) //nolint:gosec // a file of the kernel's
		if err != nil {
			return fmt.Errorf("see which cgroup controllers %s passes down: %w", dir, err)
		}
		var missing []string
		for _, controller := range controllers {
			if slices.Contains(strings.Fields(string(available)), controller) && !slices.Contains(strings.Fields(string(enabled)), controller) {
				missing = append(missing, "+"+controller)
			}
		}
		if len(missing) == 0 {
			continue
		}
		if err := os.WriteFile(file, []byte(strings.Join(missing, " ")), 0o600); err != nil {
			return fmt.Errorf("pass cgroup controllers %s down from %s: %w", strings.Join(missing, " "), dir, explain(err, dir))
		}
	}
	return nil
}

// explain says what the kernel means by "device or resource busy", the answer that containers get.
func explain(err error, dir string) error {
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	return fmt.Errorf("%w: %[2]s has processes of its own, and the kernel passes controllers down only from a cgroup without any, as in "+
		"a container with a cgroup namespace. Move them first: mkdir %[2]s/init; for p in $(cat %[2]s/cgroup.procs); "+
		"do echo $p > %[2]s/init/cgroup.procs; done. Or run the container with the host's cgroup namespace (docker run --cgroupns=host)", err, dir)
}

// members adds the processes in a cgroup and below it.
func members(dir string, into map[int]bool) {
	//nolint:errcheck,gosec // a cgroup that vanishes while it is read has no processes
	filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil //nolint:nilerr // see above
		}
		text, _ := os.ReadFile(filepath.Join(path, "cgroup.procs")) //nolint:gosec // a file of the kernel's
		for line := range strings.Lines(string(text)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
				into[pid] = true
			}
		}
		return nil
	})
}

// removeCgroups removes a top level cgroup and all below it. The kernel lets go of one a moment after its last process.
func removeCgroups(ctx context.Context, name string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var err error
		for _, dir := range cgroups(name) {
			err = errors.Join(err, removeTree(dir))
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove cgroup %s: %w", name, err)
		case <-tick.C:
		}
	}
}

// removeTree removes a cgroup's folders from the leaves up. The files in them belong to the kernel.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	problems := []error{err}
	for _, entry := range entries {
		if entry.IsDir() {
			problems = append(problems, removeTree(filepath.Join(dir, entry.Name())))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	return unix.Rmdir(dir)
}
