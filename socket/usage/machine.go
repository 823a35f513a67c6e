package usage

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
)

// fallbackMemory stands for the machine's memory where the system does not tell it.
const fallbackMemory Bytes = 8 << 30

// Self measures the running process: CPU by the system's accounting, memory as the system's resident bytes
// where /proc tells them, else what the Go runtime holds.
func Self(files fs.FS) Process {
	return Process{
		CPU:    processCPU,
		Memory: func() (int64, error) { return processMemory(files, pageSize()) },
		Cores:  runtime.GOMAXPROCS(0),
	}
}

func processMemory(files fs.FS, page int64) (int64, error) {
	content, err := fs.ReadFile(files, "proc/self/statm")
	if errors.Is(err, fs.ErrNotExist) {
		return runtimeMemory(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("read /proc/self/statm: %w", err)
	}
	fields := strings.Fields(string(content))
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/self/statm: %.64q has no resident size", content)
	}
	pages, err := positive("proc/self", "statm", fields[1])
	return pages * page, err
}

func runtimeMemory() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}

func machineMemory(files fs.FS) (Bytes, error) {
	content, err := fs.ReadFile(files, "proc/meminfo")
	if errors.Is(err, fs.ErrNotExist) {
		return fallbackMemory, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read /proc/meminfo: %w", err)
	}
	for line := range strings.Lines(string(content)) {
		rest, found := strings.CutPrefix(line, "MemTotal:")
		if !found {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil || kib <= 0 || kib > 1<<50 {
			return 0, fmt.Errorf("/proc/meminfo: MemTotal %.32q is not a size in kB", strings.TrimSpace(rest))
		}
		return Bytes(kib << 10), nil
	}
	return fallbackMemory, nil
}
