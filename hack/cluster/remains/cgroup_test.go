package remains

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnlyWhatTheKubeletNeedsAndNobodyPassedDownYetIsPassedDown(t *testing.T) {
	cases := []struct{ name, available, enabled, want string }{
		{"a machine with systemd", "cpuset cpu io memory hugetlb pids rdma misc", "cpu memory pids", "+cpuset +hugetlb"},
		{"a container without cpusets", "cpu io memory pids", "", "+cpu +memory +pids"},
		{"all there", "cpuset cpu memory pids", "cpuset cpu memory pids", "cpuset cpu memory pids"},
		{"a hybrid setup", "", "", ""},
	}
	for _, c := range cases {
		dir := t.TempDir()
		for file, text := range map[string]string{"cgroup.controllers": c.available, "cgroup.subtree_control": c.enabled} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := delegate(dir); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control")); err != nil || string(got) != c.want {
			t.Errorf("%s: wrote %q, %v; want %q", c.name, got, err, c.want)
		}
	}
	if err := delegate(t.TempDir()); err != nil {
		t.Errorf("cgroup v1: %v", err)
	}
}

func TestABusyCgroupIsExplainedWithTheFix(t *testing.T) {
	busy := &os.PathError{Op: "write", Path: "/sys/fs/cgroup/cgroup.subtree_control", Err: unix.EBUSY}
	err := explain(busy, "/sys/fs/cgroup")
	for _, want := range []string{"/sys/fs/cgroup has processes of its own", "mkdir /sys/fs/cgroup/init;", "--cgroupns=host"} {
		if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not say %q", err, want)
		}
	}
	if err := explain(unix.EACCES, "/sys/fs/cgroup"); !errors.Is(err, unix.EACCES) || strings.Contains(err.Error(), "init") {
		t.Errorf("another problem is explained as if it were this one: %v", err)
	}
}
