package remains

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tidegate/tidegate/hack/cluster/place"
)

// kernel is a folder that looks like /proc/sys, and a cluster that has not started.
func kernel(t *testing.T) (place.Place, sysctls) {
	t.Helper()
	at := place.Place{Home: t.TempDir()}
	s := sysctls{root: t.TempDir(), file: at.Run(sysctlFile)}
	set(t, s, "kernel/random/boot_id", "a")
	set(t, s, "kernel/panic", "0")
	set(t, s, "vm/overcommit_memory", "2")
	return at, s
}

func set(t *testing.T, s sysctls, name, value string) {
	t.Helper()
	file := filepath.Join(s.root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAStopRestoresWhatTheKubeletChangedOfTheKernel(t *testing.T) {
	at, s := kernel(t)
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	set(t, s, "kernel/panic", "10")
	set(t, s, "vm/overcommit_memory", "1")
	// A second start before anything was restored, as after a crash.
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	want := []string{"kernel setting kernel.panic, which is 10 and was 0", "kernel setting vm.overcommit_memory, which is 1 and was 2"}
	if got := s.changed(); !slices.Equal(got, want) {
		t.Errorf("left behind: %q", got)
	}
	if err := forget(at); err != nil {
		t.Fatal(err)
	}
	if err := s.restore(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"kernel/panic": "0", "vm/overcommit_memory": "2"} {
		if got, err := s.read(name); got != want || err != nil {
			t.Errorf("%s is %q, %v: the machine would reboot on a panic, or overcommit, long after the cluster", name, got, err)
		}
	}
	if _, err := os.Stat(s.file); err == nil || s.changed() != nil {
		t.Error("the values stay: the next stop would undo what somebody sets in between")
	}
	if err := s.restore(); err != nil {
		t.Errorf("a second stop: %v", err)
	}
}

func TestSettingsThatCannotBeRestoredAreNamedAndKept(t *testing.T) {
	_, s := kernel(t)
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	// A folder instead of a file refuses to be written, also by root.
	panicFile := filepath.Join(s.root, "kernel/panic")
	if err := os.Remove(panicFile); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(panicFile, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.restore(); err == nil {
		t.Error("a setting that was not restored is taken for restored")
	}
	if _, err := os.Stat(s.file); err != nil {
		t.Errorf("the value of before is lost: %v", err)
	}
}

func TestARebootRestoresTheSettingsByItself(t *testing.T) {
	_, s := kernel(t)
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	set(t, s, "kernel/random/boot_id", "b")
	set(t, s, "kernel/panic", "5")
	if s.changed() != nil {
		t.Error("the values of another boot are still asked for")
	}
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	set(t, s, "kernel/panic", "10")
	if err := s.restore(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.read("kernel/panic"); got != "5" || err != nil {
		t.Errorf("kernel.panic is %q, %v, and was 5 in this boot", got, err)
	}
}
