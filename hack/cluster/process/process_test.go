package process_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/hack/cluster/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, script string) (process.Book, process.Record) {
	t.Helper()
	dir := t.TempDir()
	book := process.Book{Dir: filepath.Join(dir, "pids")}
	record, err := book.Start(t.Context(), process.Spec{
		Name: "shell", Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"GREETING=hello"}, Dir: dir, Log: filepath.Join(dir, "log", "shell.log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := record.Kill(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return book, record
}

// logged is what the component wrote so far.
func logged(book process.Book) string {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(book.Dir), "log", "shell.log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestAComponentIsFoundAgainByItsRecordAndTakesSignals(t *testing.T) {
	book, started := start(t, "echo $GREETING; exec sleep 600")
	found, err := book.Find("shell")
	if err != nil || found != started {
		t.Fatalf("found %+v, %v; started %+v", found, err, started)
	}
	await(t, "the greeting from its environment is in its log", func() bool { return logged(book) == "hello\n" })
	if err := found.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	await(t, "paused", func() bool { return found.State() == process.Paused })
	if err := found.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	await(t, "running", func() bool { return found.State() == process.Running })
	if err := found.Kill(t.Context()); err != nil || found.State() != process.Gone {
		t.Errorf("killed: %v, %s", err, found.State())
	}
	if err := found.Signal(unix.SIGTERM); err != nil {
		t.Errorf("a signal to a process that is gone: %v", err)
	}
}

func TestStopEndsAPausedProcessAndOneThatIgnoresTheRequest(t *testing.T) {
	_, paused := start(t, "exec sleep 600")
	if err := paused.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := paused.Stop(t.Context(), time.Minute); err != nil || paused.State() != process.Gone {
		t.Errorf("paused: %v, %s", err, paused.State())
	}
	book, deaf := start(t, "trap '' TERM; echo ready; exec sleep 600")
	await(t, "the trap is set", func() bool { return logged(book) == "ready\n" })
	if err := deaf.Stop(t.Context(), 50*time.Millisecond); err != nil || deaf.State() != process.Gone {
		t.Errorf("deaf: %v, %s", err, deaf.State())
	}
}

func TestAProcessThatGotTheNumberOfADeadComponentIsLeftAlone(t *testing.T) {
	_, stranger := start(t, "exec sleep 600")
	for name, stale := range map[string]process.Record{
		"started at another time": {Name: "etcd", PID: stranger.PID, Started: stranger.Started + 1, Boot: stranger.Boot},
		"before a reboot":         {Name: "etcd", PID: stranger.PID, Started: stranger.Started, Boot: "another"},
		"no number":               {Name: "etcd"},
	} {
		if stale.State() != process.Gone {
			t.Errorf("%s: taken for the component", name)
		}
		if err := stale.Kill(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if stranger.State() != process.Running {
		t.Error("a stranger's process was killed: the pid file of a dead component is a loaded gun")
	}
}

func TestAProgramThatDoesNotExistIsNamed(t *testing.T) {
	book := process.Book{Dir: t.TempDir()}
	_, err := book.Start(t.Context(), process.Spec{Name: "etcd", Path: "/nowhere/etcd", Log: filepath.Join(t.TempDir(), "etcd.log")})
	if err == nil || !strings.Contains(err.Error(), "/nowhere/etcd") {
		t.Errorf("error %v", err)
	}
	if records, err := book.All(); len(records) != 0 || err != nil {
		t.Errorf("a component that never ran is recorded: %v, %v", records, err)
	}
}

func TestARecordThatMakesNoSenseIsOneOfAProcessThatIsGone(t *testing.T) {
	book, started := start(t, "exec sleep 600")
	for _, text := range []string{"", `{"name":"shell","pid":1`, "null", `{"name":"other","pid":1}`} {
		if err := os.WriteFile(filepath.Join(book.Dir, "etcd.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if found, err := book.Find("etcd"); err != nil || found.State() != process.Gone || found.Name != "etcd" {
			t.Errorf("%q: %+v, %v", text, found, err)
		}
		if all, err := book.All(); err != nil || len(all) != 2 || all[1] != started {
			t.Errorf("%q: %+v, %v: one broken record hides every other process", text, all, err)
		}
	}
}

func TestOnlyTheVeryCommandLineIsAdopted(t *testing.T) {
	book := process.Book{Dir: t.TempDir()}
	log := filepath.Join(t.TempDir(), "log")
	mark := strconv.Itoa(os.Getpid())
	spec := process.Spec{Name: "redis", Path: "/bin/sleep", Args: []string{"600", mark}, Log: log}
	record, err := book.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := book.Forget("redis"); err != nil {
		t.Fatal(err)
	}
	other := spec
	other.Args = []string{"600", mark + "0"}
	if found, err := book.Adopt(other); err != nil || found.State() != process.Gone {
		t.Errorf("a stranger is adopted, and killed by the next stop: %+v, %v", found, err)
	}
	if found, err := book.Adopt(spec); err != nil || found != record {
		t.Errorf("%+v, %v; want %+v", found, err, record)
	}
	if err := record.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found, err := book.Adopt(spec); err != nil || found.State() != process.Gone {
		t.Errorf("a process that ended is adopted: %+v, %v", found, err)
	}
}

func TestARecordIsReplacedWhole(t *testing.T) {
	book, first := start(t, "exec sleep 600")
	file := filepath.Join(book.Dir, "shell.json")
	// Whoever reads the old record right now has this file open.
	if err := os.Link(file, file+".old"); err != nil {
		t.Fatal(err)
	}
	second, err := book.Start(t.Context(), process.Spec{Name: "shell", Path: "/bin/sleep", Args: []string{"601"}, Log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(file + ".old")
	if err != nil || !strings.Contains(string(old), strconv.Itoa(first.PID)) {
		t.Errorf("%s, %v: a crash in between leaves half a record", old, err)
	}
	if all, err := book.All(); err != nil || len(all) != 1 || all[0] != second {
		t.Errorf("%+v, %v", all, err)
	}
}
