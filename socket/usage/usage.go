// Package usage measures what share of its CPU and memory limits the process really uses:
// in a container against its cgroup (version 1 or 2), elsewhere against the limits its operator declared.
package usage

import (
	"errors"
	"io/fs"
	"time"
)

// minSpan is the shortest time over which CPU is measured: over less, the kernel's own accounting steps show.
const minSpan = 50 * time.Millisecond

// Limits are what the operator declared. Zero means: take the container's limit, else the machine's.
type Limits struct {
	CPU    Cores
	Memory Bytes
}

// Reading is one measurement.
type Reading struct {
	// CPU and Memory are fractions of the limits: 1 is all of it. A process without a hard limit may exceed 1.
	CPU    float64
	Memory float64
	// CPULimit and MemoryLimit are the limits in force at this reading.
	CPULimit    Cores
	MemoryLimit Bytes
}

// Process tells what this process itself has used.
type Process struct {
	// CPU returns the CPU time used since the process started.
	CPU func() (time.Duration, error)
	// Memory returns the resident bytes.
	Memory func() (int64, error)
	// Cores is how many CPUs the process may run on.
	Cores int
}

// Meter reads the usage. Files and limits are read again each time, because a container can be resized in place.
// It is not safe for concurrent use: one heartbeat loop owns it.
type Meter struct {
	files   fs.FS
	process Process
	limits  Limits
	now     func() time.Time

	cpu span
	// last is the newest good reading, kept where a file is missing or makes no sense for a moment.
	last Reading
}

// span remembers where the CPU clock of one source stood.
type span struct {
	source string
	used   time.Duration
	at     time.Time
}

// NewMeter returns a meter on the root file system files (os.DirFS("/") outside tests).
// The clock must be monotonic within the process, as time.Now is.
func NewMeter(files fs.FS, process Process, limits Limits, now func() time.Time) *Meter {
	m := &Meter{files: files, process: process, limits: limits, now: now}
	if at, err := m.readCPU(); err == nil {
		m.cpu = span{source: at.source, used: at.used, at: now()}
	}
	return m
}

// Read measures now. CPU is averaged over the time since the last call. What cannot be read keeps its last
// value and is named in the error, so that a heartbeat can still be sent.
func (m *Meter) Read() (Reading, error) {
	return m.last, errors.Join(m.updateCPU(), m.updateMemory())
}

func (m *Meter) updateCPU() error {
	at, err := m.readCPU()
	if err != nil {
		return err
	}
	now := m.now()
	m.last.CPULimit = at.limit
	previous := m.cpu
	elapsed := now.Sub(previous.at)
	if at.source == previous.source && elapsed < minSpan {
		return nil
	}
	m.cpu = span{source: at.source, used: at.used, at: now}
	if at.source != previous.source || at.used < previous.used {
		// Another source, or a counter that went back: the difference would mean nothing.
		return nil
	}
	m.last.CPU = (at.used - previous.used).Seconds() / elapsed.Seconds() / float64(at.limit)
	return nil
}

func (m *Meter) updateMemory() error {
	at, err := m.readMemory()
	if err != nil {
		return err
	}
	m.last.MemoryLimit = at.limit
	m.last.Memory = float64(at.used) / float64(at.limit)
	return nil
}

type cpuAt struct {
	source string
	used   time.Duration
	limit  Cores
}

type memoryAt struct {
	used  int64
	limit Bytes
}

// readCPU prefers the declared limit (which is about this process alone), then the container's.
func (m *Meter) readCPU() (cpuAt, error) {
	if m.limits.CPU == 0 {
		group, err := findCgroup(m.files)
		if err != nil {
			return cpuAt{}, err
		}
		if at, found, err := group.cpu(); err != nil || found {
			return at, err
		}
	}
	used, err := m.process.CPU()
	if err != nil {
		return cpuAt{}, err
	}
	limit := m.limits.CPU
	if limit == 0 {
		limit = Cores(max(1, m.process.Cores))
	}
	return cpuAt{source: "process", used: used, limit: limit}, nil
}

func (m *Meter) readMemory() (memoryAt, error) {
	if m.limits.Memory == 0 {
		group, err := findCgroup(m.files)
		if err != nil {
			return memoryAt{}, err
		}
		if at, found, err := group.memory(); err != nil || found {
			return at, err
		}
	}
	used, err := m.process.Memory()
	if err != nil {
		return memoryAt{}, err
	}
	limit := m.limits.Memory
	if limit == 0 {
		if limit, err = machineMemory(m.files); err != nil {
			return memoryAt{}, err
		}
	}
	return memoryAt{used: used, limit: limit}, nil
}

// MemoryLimit is the hard memory limit in force: the declared one, else the container's; ok is false when there
// is none, so that the caller leaves the garbage collector's own limit alone.
func MemoryLimit(files fs.FS, limits Limits) (limit Bytes, ok bool) {
	if limits.Memory > 0 {
		return limits.Memory, true
	}
	group, err := findCgroup(files)
	if err != nil {
		return 0, false
	}
	at, found, err := group.memory()
	if err != nil || !found {
		return 0, false
	}
	return at.limit, true
}
