package remains

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/hack/cluster/place"
	"github.com/tidegate/tidegate/hack/cluster/process"
)

func TestMountTableReadsTheKernelsOwnEscapes(t *testing.T) {
	const text = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:26 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory
31 22 0:27 / /root/a\040b\134c rw master:1 propagate_from:2 - tmpfs tmpfs rw
broken line
`
	want := []mounted{{"/", "ext4"}, {"/sys/fs/cgroup/memory", "cgroup"}, {`/root/a b\c`, "tmpfs"}}
	if diff := cmp.Diff(want, parseMounts(text), cmp.AllowUnexported(mounted{})); diff != "" {
		t.Error(diff)
	}
}

func TestAStopKeepsTheLogsOnly(t *testing.T) {
	at := place.Place{Home: t.TempDir()}
	for _, file := range []string{at.Log("etcd"), at.Run("etcd", "member", "wal"), at.Kubeconfig(), filepath.Join(at.Bin(), "etcd-1", "server")} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := forget(at); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(at.Run())
	if err != nil || len(entries) != 1 || entries[0].Name() != "log" {
		t.Errorf("left %v, %v", entries, err)
	}
	if _, err := os.Stat(filepath.Join(at.Bin(), "etcd-1", "server")); err != nil {
		t.Errorf("an hour of building is lost: %v", err)
	}
	if err := forget(place.Place{Home: filepath.Join(at.Home, "nothing")}); err != nil {
		t.Errorf("without a cluster: %v", err)
	}
}

func TestOnlySocketsOfContainerdsOwnFolderAreRemoved(t *testing.T) {
	at := place.Place{Home: t.TempDir()}
	for id, text := range map[string]string{
		"a": `{"version":3,"address":"unix:///run/containerd/s/0123abc","protocol":"ttrpc"}`,
		"b": `{"address":"unix:///run/containerd/s/../../../etc/passwd"}`,
		"c": `{"address":"unix:///var/run/docker.sock"}`,
		"d": `nonsense`,
	} {
		file := at.Run("containerd/state/io.containerd.runtime.v2.task/k8s.io", id, "bootstrap.json")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"/run/containerd/s/0123abc", "/run/containerd/s/passwd"}
	if got := shimSockets(at); !slices.Equal(got, want) {
		t.Errorf("would remove %v", got)
	}
}

func TestATreeOfFoldersGoesFromTheLeavesUp(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tidegate")
	if err := os.MkdirAll(filepath.Join(dir, "kubepods", "burstable", "pod1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := removeTree(dir); err != nil {
		t.Fatal(err)
	}
	if err := removeTree(dir); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestARecordedProcessIsFoundWhateverItCallsItself(t *testing.T) {
	at := place.Place{Home: t.TempDir()}
	record, err := process.Book{Dir: at.Records()}.Start(t.Context(), process.Spec{Name: "redis", Path: "sleep", Args: []string{"600"}, Log: at.Log("redis")})
	if err != nil {
		t.Fatal(err)
	}
	all := processes(at)
	if err := record.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	isIt := func(f found) bool { return f.pid == record.PID }
	if !slices.ContainsFunc(all, isIt) {
		t.Error("Redis, which rewrites its command line, would outlive the cluster")
	}
	if slices.ContainsFunc(processes(at), isIt) {
		t.Error("a component that ended is still looked for")
	}
}

func TestThisProcessIsNoPartOfACluster(t *testing.T) {
	at := place.Place{Home: t.TempDir()}
	if mounts(at.Run()) != nil {
		t.Error("mounts in a folder that does not exist")
	}
	inside, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if ours(os.Getpid(), at, inside) {
		t.Error("a process that only shares the network would be killed: a test that runs there is not ours to end")
	}
}
