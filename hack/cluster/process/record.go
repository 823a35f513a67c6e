package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Record identifies one process beyond its number, which the kernel gives to others later.
type Record struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// Started is the kernel's start time in clock ticks since boot; Boot the id of that boot.
	Started uint64 `json:"started"`
	Boot    string `json:"boot"`
}

// State is what a process does now.
type State string

// The states of a process.
const (
	Running State = "running"
	Paused  State = "paused"
	Gone    State = "down"
)

func identify(name string, pid int) (Record, error) {
	started, _, err := stat(pid)
	if err != nil {
		return Record{}, err
	}
	boot, err := bootID()
	if err != nil {
		return Record{}, err
	}
	return Record{Name: name, PID: pid, Started: started, Boot: boot}, nil
}

// State looks at the process. Another process that got the same number counts as gone.
func (r Record) State() State {
	if r.PID <= 0 {
		return Gone
	}
	boot, err := bootID()
	if err != nil || boot != r.Boot {
		return Gone
	}
	started, letter, err := stat(r.PID)
	switch {
	case err != nil || started != r.Started || letter == 'Z' || letter == 'X':
		return Gone
	case letter == 'T' || letter == 't':
		return Paused
	default:
		return Running
	}
}

// Signal sends a signal, but only to the very process that was recorded; a process that is gone takes none.
func (r Record) Signal(signal syscall.Signal) error {
	if r.State() == Gone {
		return nil
	}
	if err := syscall.Kill(r.PID, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %s (process %d): %w", r.Name, r.PID, err)
	}
	return nil
}

// stat reads a process's start time and state letter.
func stat(pid int) (started uint64, state byte, err error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, err
	}
	return parseStat(text)
}

// parseStat takes apart /proc/PID/stat, whose second field is the program's name and may hold spaces and parentheses.
func parseStat(text []byte) (started uint64, state byte, err error) {
	const stateField, startField = 0, 19 // counted after the name
	end := bytes.LastIndexByte(text, ')')
	fields := strings.Fields(string(text[end+1:]))
	if end < 0 || len(fields) <= startField {
		return 0, 0, fmt.Errorf("%q is no process state", text)
	}
	started, err = strconv.ParseUint(fields[startField], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("start time %q: %w", fields[startField], err)
	}
	return started, fields[stateField][0], nil
}

func bootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text)), err
}
