package usage

import (
	"math"
	"strconv"
	"testing"
	"testing/fstest"
	"time"
)

// FuzzBytes reads sizes: one that is taken is never negative, and its plain number means the same.
func FuzzBytes(f *testing.F) {
	for _, seed := range []string{"512Mi", "1.5GiB", "500M", "1e309", "-1", "NaN", "9999999Ti", "0x10", " 1 k "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var size, again Bytes
		if size.UnmarshalText([]byte(text)) != nil {
			return
		}
		if size < 0 {
			t.Errorf("%q is %d bytes", text, size)
		}
		if err := again.UnmarshalText([]byte(strconv.FormatInt(int64(size), 10))); err != nil || math.Abs(float64(again-size)) > float64(size)/1e12 {
			t.Errorf("%q is %d, which is read as %d, %v", text, size, again, err)
		}
	})
}

// FuzzCgroupFiles puts anything into the files: a reading is never negative, infinite or no number.
func FuzzCgroupFiles(f *testing.F) {
	f.Add("0::/a", "100000 100000", "usage_usec 5", "max", "12", "inactive_file 3")
	f.Add("", "max", "", "0", "-1", "inactive_file 99999999999999999999")
	f.Add("::::", "1 9223372036854775807", "usage_usec 9223372036854775807", "1", "9223372036854775807", "inactive_file -1")
	f.Fuzz(func(t *testing.T, group, cpuMax, cpuStat, memoryMax, memory, stat string) {
		files := fstest.MapFS{}
		for name, content := range map[string]string{
			"proc/self/cgroup": group, "sys/fs/cgroup/cgroup.controllers": "", "sys/fs/cgroup/cpu.max": cpuMax, "sys/fs/cgroup/cpu.stat": cpuStat,
			"sys/fs/cgroup/memory.max": memoryMax, "sys/fs/cgroup/memory.current": memory, "sys/fs/cgroup/memory.stat": stat,
		} {
			files[name] = &fstest.MapFile{Data: []byte(content)}
		}
		now := time.Unix(0, 0)
		process := Process{CPU: func() (time.Duration, error) { return 0, nil }, Memory: func() (int64, error) { return 1, nil }}
		meter := NewMeter(files, process, Limits{}, func() time.Time { now = now.Add(time.Second); return now })
		for range 2 {
			got, _ := meter.Read()
			for what, value := range map[string]float64{"CPU": got.CPU, "memory": got.Memory} {
				if !(value >= 0) || math.IsInf(value, 0) {
					t.Errorf("%s is %v: it would poison every average", what, value)
				}
			}
		}
	})
}
