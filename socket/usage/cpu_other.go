//go:build !unix

package usage

import (
	"os"
	"runtime/metrics"
	"time"
)

// processCPU is the Go runtime's own estimate where the system has no getrusage.
func processCPU() (time.Duration, error) {
	samples := []metrics.Sample{{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}}
	metrics.Read(samples)
	return time.Duration((samples[0].Value.Float64() - samples[1].Value.Float64()) * float64(time.Second)), nil
}

func pageSize() int64 { return int64(os.Getpagesize()) }
