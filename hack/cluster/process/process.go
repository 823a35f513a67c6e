// Package process starts components that outlive the command that started them, and finds them again by a record on disk.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Spec is what to start.
type Spec struct {
	Name string
	// Path is the program, Args what follows it.
	Path string
	Args []string
	// Env is added to this process's environment.
	Env []string
	Dir string
	// Netns is the file of the network namespace to run in; empty is this process's own.
	Netns string
	// Log takes both output streams, appended.
	Log string
}

// Book keeps the records of running processes in one folder, a file each.
type Book struct{ Dir string }

// Start runs a program in its own session and records it. The program keeps running after this process ends.
func (b Book) Start(ctx context.Context, s Spec) (Record, error) {
	if err := errors.Join(os.MkdirAll(b.Dir, 0o755), os.MkdirAll(filepath.Dir(s.Log), 0o755)); err != nil { //nolint:gosec // the logs are for everyone on this machine
		return Record{}, fmt.Errorf("prepare to start %s: %w", s.Name, err)
	}
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // the logs are for everyone on this machine
	if err != nil {
		return Record{}, fmt.Errorf("open the log of %s: %w", s.Name, err)
	}
	defer log.Close() //nolint:errcheck // the child has its own copy
	// nsenter replaces itself by the program, so its pid is the program's.
	argv := slices.Concat(b.entering(s.Netns), []string{s.Path}, s.Args)
	cmd := exec.CommandContext(context.WithoutCancel(ctx), argv[0], argv[1:]...) //nolint:gosec // the components are ours
	cmd.Env, cmd.Dir = append(os.Environ(), s.Env...), s.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Record{}, fmt.Errorf("start %s: %w", s.Name, err)
	}
	// Reaped while this process lives, so that a death during the start shows; afterwards that is init's task.
	go cmd.Wait() //nolint:errcheck // its end is seen in /proc, by this process and by later ones alike
	record, err := identify(s.Name, cmd.Process.Pid)
	if err != nil {
		return Record{}, fmt.Errorf("%s ended at once: see %s", s.Name, s.Log)
	}
	return record, b.write(record)
}

// entering is the prefix that puts a program into the network namespace. It also leaves a private mount namespace, in
// which `exec` runs its commands: what a test starts anew must see the mounts that the others see.
func (b Book) entering(netns string) []string {
	if netns == "" {
		return nil
	}
	argv := []string{"nsenter", "--net=" + netns}
	if file := b.mounts(); file != "" {
		argv = append(argv, "--mount="+file)
	}
	return append(argv, "--")
}

// mounts is the mount namespace of the running components, when it is another than this process's.
func (b Book) mounts() string {
	own, err := os.Readlink("/proc/self/ns/mnt")
	records, errAll := b.All()
	if err != nil || errAll != nil {
		return ""
	}
	for _, r := range records {
		file := "/proc/" + strconv.Itoa(r.PID) + "/ns/mnt"
		if theirs, err := os.Readlink(file); err == nil && r.State() != Gone && theirs != own {
			return file
		}
	}
	return ""
}

func (b Book) file(name string) string { return filepath.Join(b.Dir, name+".json") }

func (b Book) write(r Record) error {
	text, err := json.Marshal(r)
	if err == nil {
		// Renamed into place: half a record would lose the process.
		file := b.file(r.Name)
		err = errors.Join(os.WriteFile(file+".new", text, 0o600), os.Rename(file+".new", file))
	}
	if err != nil {
		return fmt.Errorf("record %s, which runs as process %d: %w", r.Name, r.PID, err)
	}
	return nil
}

// Find reads the record of a component. Without one that makes sense it returns a record of a process that is gone: see
// Adopt for a process that may run nevertheless.
func (b Book) Find(name string) (Record, error) {
	text, err := os.ReadFile(b.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return Record{Name: name}, nil
	}
	if err != nil {
		return Record{}, fmt.Errorf("read the process record of %s: %w", name, err)
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil || r.Name != name {
		return Record{Name: name}, nil //nolint:nilerr // half a record must not keep the other components from being started and stopped
	}
	return r, nil
}

// Adopt looks for a process that was started with exactly this command line and lost its record, and records it anew. The
// files of one cluster in it make it unique. Without such a process it returns a record of one that is gone.
func (b Book) Adopt(s Spec) (Record, error) {
	want := strings.Join(append([]string{s.Path}, s.Args...), "\x00") + "\x00"
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return Record{}, fmt.Errorf("list processes: %w", err)
	}
	for _, file := range files {
		pid, errPID := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		line, errLine := os.ReadFile(file) //nolint:gosec // a file of the kernel's
		if errPID != nil || errLine != nil || string(line) != want {
			continue
		}
		if r, err := identify(s.Name, pid); err == nil && r.State() != Gone {
			return r, b.write(r)
		}
	}
	return Record{Name: s.Name}, nil
}

// Forget removes a record.
func (b Book) Forget(name string) error {
	if err := os.Remove(b.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget %s: %w", name, err)
	}
	return nil
}

// All reads every record.
func (b Book) All() ([]Record, error) {
	files, err := filepath.Glob(b.file("*"))
	if err != nil {
		return nil, fmt.Errorf("list process records: %w", err)
	}
	records := make([]Record, 0, len(files))
	for _, file := range files {
		r, err := b.Find(strings.TrimSuffix(filepath.Base(file), ".json"))
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// pollEvery is how often the end of a process is looked for where the kernel cannot tell.
const pollEvery = 20 * time.Millisecond

// Stop asks the process to end, and ends it when it has not after the grace period.
func (r Record) Stop(ctx context.Context, grace time.Duration) error {
	// A paused process would not hear the request.
	for _, signal := range []syscall.Signal{unix.SIGTERM, unix.SIGCONT} {
		if err := r.Signal(signal); err != nil {
			return err
		}
	}
	waiting, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if r.await(waiting) == nil {
		return nil
	}
	return r.Kill(ctx)
}

// Kill ends the process at once and waits until it is gone.
func (r Record) Kill(ctx context.Context) error {
	if err := r.Signal(unix.SIGKILL); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	if err := r.await(waiting); err != nil {
		return fmt.Errorf("%s (process %d) does not end: %w", r.Name, r.PID, err)
	}
	return nil
}

// killTimeout is for a process in an uninterruptible wait.
const killTimeout = 15 * time.Second

func (r Record) await(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for r.State() != Gone {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
