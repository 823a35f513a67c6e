//go:build unix

package usage

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

func processCPU() (time.Duration, error) {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0, fmt.Errorf("read the process's CPU time: %w", err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()), nil
}

func pageSize() int64 { return int64(os.Getpagesize()) }
