package usage

import (
	"errors"
	"io/fs"
	"math"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

const mib = 1 << 20

// machine is a process in a made-up file system with a clock that the test moves.
type machine struct {
	files   fstest.MapFS
	clock   time.Time
	cpu     time.Duration
	memory  int64
	failing error
}

func newMachine(files map[string]string) *machine {
	m := &machine{files: fstest.MapFS{}, clock: time.Unix(1000, 0), memory: 64 * mib}
	m.write(files)
	return m
}

func (m *machine) write(files map[string]string) {
	for name, content := range files {
		m.files[name] = &fstest.MapFile{Data: []byte(content)}
	}
}

func (m *machine) meter(limits Limits) *Meter {
	process := Process{
		CPU:    func() (time.Duration, error) { return m.cpu, m.failing },
		Memory: func() (int64, error) { return m.memory, m.failing },
		Cores:  4,
	}
	return NewMeter(m.files, process, limits, func() time.Time { return m.clock })
}

func v2(group, quota, usageUsec, memMax, memCurrent, inactive string) map[string]string {
	dir := "sys/fs/cgroup" + group
	return map[string]string{
		"proc/self/cgroup":                 "0::" + group + "\n",
		"sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
		dir + "/cpu.max":                   quota + "\n",
		dir + "/cpu.stat":                  "usage_usec " + usageUsec + "\nuser_usec 1\nsystem_usec 1\n",
		dir + "/memory.max":                memMax + "\n",
		dir + "/memory.current":            memCurrent + "\n",
		dir + "/memory.stat":               "anon 1\ninactive_file " + inactive + "\nactive_file 3\n",
	}
}

func v1(quota, period, usageNs, memLimit, memUsage, inactive string) map[string]string {
	return map[string]string{
		"proc/self/cgroup":                           "4:memory:/pod/c1\n2:cpu,cpuacct:/pod/c1\n1:name=systemd:/x\n0::/\n",
		"sys/fs/cgroup/cpu/cpu.cfs_quota_us":         quota + "\n",
		"sys/fs/cgroup/cpu/cpu.cfs_period_us":        period + "\n",
		"sys/fs/cgroup/cpuacct/cpuacct.usage":        usageNs + "\n",
		"sys/fs/cgroup/memory/memory.limit_in_bytes": memLimit + "\n",
		"sys/fs/cgroup/memory/memory.usage_in_bytes": memUsage + "\n",
		"sys/fs/cgroup/memory/memory.stat":           "cache 9\ntotal_inactive_file " + inactive + "\n",
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9 {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestUsageIsMeasuredAgainstTheRightLimit(t *testing.T) {
	plain := map[string]string{"proc/meminfo": "MemTotal:       1048576 kB\n"}
	const hostV1 = "9223372036854771712"
	tests := []struct {
		name   string
		before map[string]string
		after  map[string]string
		limits Limits
		cpu    float64
		memory float64
	}{
		{
			name:   "version 2 container that sees its own group at the root",
			before: v2("", "50000 100000", "1000000", "104857600", "62914560", "10485760"),
			after:  v2("", "50000 100000", "1250000", "104857600", "62914560", "10485760"),
			cpu:    0.5, memory: 0.5,
		},
		{
			name:   "version 2 group deep inside the host's tree",
			before: v2("/a.slice/b.scope", "200000 100000", "0", "104857600", "104857600", "0"),
			after:  v2("/a.slice/b.scope", "200000 100000", "2000000", "104857600", "104857600", "0"),
			cpu:    1, memory: 1,
		},
		{
			name:   "version 2 without limits falls back to the machine",
			before: v2("", "max 100000", "0", "max", "5", "0"),
			after:  plain,
			cpu:    0.125, memory: 1.0 / 16,
		},
		{
			name:   "version 1 container whose own path is mounted at the root",
			before: v1("50000", "100000", "0", "104857600", "62914560", "10485760"),
			after:  v1("50000", "100000", "125000000", "104857600", "62914560", "10485760"),
			cpu:    0.25, memory: 0.5,
		},
		{
			name:   "version 1 without limits falls back to the machine",
			before: v1("-1", "100000", "0", hostV1, "5", "0"),
			after:  plain,
			cpu:    0.125, memory: 1.0 / 16,
		},
		{
			name: "declared limits are held against the process alone, inside a container too",
			// 0.5 s of CPU in 1 s on a declared quarter core; 64 MiB of 128.
			before: v2("", "50000 100000", "0", "104857600", "62914560", "0"),
			limits: Limits{CPU: 0.25, Memory: 128 * mib},
			cpu:    2, memory: 0.5,
		},
		{name: "a plain process without any of these files", cpu: 0.125, memory: 64.0 / 8192},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(tt.before)
			meter := m.meter(tt.limits)
			m.write(tt.after)
			m.clock, m.cpu = m.clock.Add(time.Second), 500*time.Millisecond
			got, err := meter.Read()
			if err != nil {
				t.Fatalf("Read: %v", err)
			}
			near(t, "CPU", got.CPU, tt.cpu)
			near(t, "memory", got.Memory, tt.memory)
		})
	}
}

func TestALimitThatIsResizedInPlaceCountsAtTheNextRead(t *testing.T) {
	m := newMachine(v2("", "100000 100000", "0", "104857600", "52428800", "0"))
	meter := m.meter(Limits{})
	m.clock = m.clock.Add(time.Second)
	m.write(v2("", "200000 100000", "1000000", "209715200", "52428800", "0"))
	got, err := meter.Read()
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	near(t, "CPU", got.CPU, 0.5)
	near(t, "memory", got.Memory, 0.25)
	near(t, "CPU limit", float64(got.CPULimit), 2)
}

func TestTheTightestLimitOnTheWayOutCounts(t *testing.T) {
	m := newMachine(v2("/pod/c1", "max 100000", "0", "max", "26214400", "0"))
	m.write(map[string]string{
		"sys/fs/cgroup/pod/cpu.max":    "100000 100000",
		"sys/fs/cgroup/pod/memory.max": "104857600",
	})
	meter := m.meter(Limits{})
	m.clock = m.clock.Add(2 * time.Second)
	m.write(map[string]string{"sys/fs/cgroup/pod/c1/cpu.stat": "usage_usec 1000000\n"})
	got, err := meter.Read()
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	near(t, "CPU", got.CPU, 0.5)
	near(t, "memory", got.Memory, 0.25)
}

func TestCPUSpansTheTimeBetweenReads(t *testing.T) {
	m := newMachine(nil)
	meter := m.meter(Limits{CPU: 1, Memory: 128 * mib})
	step := func(elapsed, used time.Duration) float64 {
		m.clock, m.cpu = m.clock.Add(elapsed), m.cpu+used
		got, err := meter.Read()
		if err != nil {
			t.Fatalf("Read: %v", err)
		}
		return got.CPU
	}
	near(t, "CPU of a busy second", step(time.Second, 900*time.Millisecond), 0.9)
	near(t, "CPU read again at once", step(time.Millisecond, time.Millisecond), 0.9)
	near(t, "CPU of the quiet rest", step(999*time.Millisecond, 99*time.Millisecond), 0.1)
	m.cpu = 0
	near(t, "CPU when the counter went back", step(time.Second, 0), 0.1)
}

func TestGarbageIsNamedAndTheLastGoodReadingStays(t *testing.T) {
	good := v2("", "100000 100000", "0", "104857600", "52428800", "0")
	tests := []struct{ name, file, content, says string }{
		{"a limit that is no number", "sys/fs/cgroup/cpu.max", "lots 100000", "lots"},
		{"a limit without period", "sys/fs/cgroup/cpu.max", "100000", "period"},
		{"a zero quota", "sys/fs/cgroup/cpu.max", "0 100000", "positive"},
		{"a negative usage", "sys/fs/cgroup/cpu.stat", "usage_usec -4", "-4"},
		{"a usage beyond any clock", "sys/fs/cgroup/cpu.stat", "usage_usec 9223372036854775807", "out of range"},
		{"an empty memory limit", "sys/fs/cgroup/memory.max", "", "memory.max"},
		{"no memory at all", "sys/fs/cgroup/memory.max", "0", "without memory"},
		{"memory in words", "sys/fs/cgroup/memory.current", "NaN", "NaN"},
		{"cache in words", "sys/fs/cgroup/memory.stat", "inactive_file x", "x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(good)
			meter := m.meter(Limits{})
			m.clock = m.clock.Add(time.Second)
			m.write(map[string]string{"sys/fs/cgroup/cpu.stat": "usage_usec 500000"})
			if _, err := meter.Read(); err != nil {
				t.Fatalf("good files: %v", err)
			}
			m.clock = m.clock.Add(time.Second)
			m.write(map[string]string{"sys/fs/cgroup/cpu.stat": "usage_usec 1000000", tt.file: tt.content})
			got, err := meter.Read()
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("error %v does not say %q: an operator could not find the file", err, tt.says)
			}
			near(t, "CPU", got.CPU, 0.5)
			near(t, "memory", got.Memory, 0.5)
		})
	}
}

func TestAMissingUsageFileFallsBackToTheProcess(t *testing.T) {
	m := newMachine(v2("", "50000 100000", "0", "104857600", "52428800", "0"))
	delete(m.files, "sys/fs/cgroup/cpu.stat")
	delete(m.files, "sys/fs/cgroup/memory.current")
	meter := m.meter(Limits{})
	m.clock, m.cpu = m.clock.Add(time.Second), time.Second
	got, err := meter.Read()
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	near(t, "CPU on four cores", got.CPU, 0.25)
}

func TestAProcessThatCannotBeReadSaysSo(t *testing.T) {
	m := newMachine(nil)
	meter := m.meter(Limits{CPU: 1, Memory: mib})
	m.failing = errors.New("no such process")
	if _, err := meter.Read(); err == nil {
		t.Error("a failing process reading passed as a measurement")
	}
}

func TestTheMemoryLimitForTheGarbageCollector(t *testing.T) {
	limited := newMachine(v2("", "max 100000", "0", "104857600", "1", "0"))
	tests := []struct {
		name   string
		files  fs.FS
		limits Limits
		want   Bytes
		ok     bool
	}{
		{"declared", fstest.MapFS{}, Limits{Memory: 7 * mib}, 7 * mib, true},
		{"the container's", limited.files, Limits{}, 104857600, true},
		{"none", fstest.MapFS{}, Limits{}, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := MemoryLimit(tt.files, tt.limits); got != tt.want || ok != tt.ok {
				t.Errorf("MemoryLimit is %d, %t; want %d, %t", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestThisProcessIsMeasured(t *testing.T) {
	self := Self(fstest.MapFS{})
	used, err := self.CPU()
	if err != nil || used <= 0 {
		t.Errorf("CPU of this process is %s, %v; it has run, so it must be positive", used, err)
	}
	for name, files := range map[string]fs.FS{
		"by the runtime": fstest.MapFS{},
		"by statm":       fstest.MapFS{"proc/self/statm": {Data: []byte("100 50 3 4 5 6 7\n")}},
	} {
		if got, err := Self(files).Memory(); err != nil || got <= 0 {
			t.Errorf("memory %s is %d, %v", name, got, err)
		}
	}
	if _, err := Self(fstest.MapFS{"proc/self/statm": {Data: []byte("x")}}).Memory(); err == nil {
		t.Error("a statm without numbers passed as memory")
	}
}
