package usage

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
	"time"
)

const cgroupRoot = "sys/fs/cgroup"

// cgroup is where this process's accounting lives. Each directory list runs from the process's own group
// outwards: usage is the own group's, the limit is the tightest on the way out.
type cgroup struct {
	files      fs.FS
	unified    bool
	cpuDirs    []string
	acctDirs   []string
	memoryDirs []string
}

// findCgroup reads which groups the process is in. A machine without cgroups gives an empty value, not an error.
func findCgroup(files fs.FS) (cgroup, error) {
	paths, err := membership(files)
	if err != nil {
		return cgroup{}, err
	}
	g := cgroup{files: files}
	if _, err := fs.Stat(files, cgroupRoot+"/cgroup.controllers"); err == nil {
		dirs := outwards(cgroupRoot, paths[""])
		g.unified, g.cpuDirs, g.acctDirs, g.memoryDirs = true, dirs, dirs, dirs
		return g, nil
	}
	g.cpuDirs = outwards(cgroupRoot+"/cpu", paths["cpu"])
	g.acctDirs = outwards(cgroupRoot+"/cpuacct", paths["cpuacct"])
	g.memoryDirs = outwards(cgroupRoot+"/memory", paths["memory"])
	return g, nil
}

// membership maps each version 1 controller, and "" for version 2, to the process's group.
func membership(files fs.FS) (map[string]string, error) {
	content, err := fs.ReadFile(files, "proc/self/cgroup")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read /proc/self/cgroup: %w", err)
	}
	paths := map[string]string{}
	for line := range strings.Lines(string(content)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			paths[controller] = fields[2]
		}
	}
	return paths, nil
}

// outwards lists the group's directory and those around it. Inside a container that sees only its own group
// mounted at the root the inner ones do not exist; readers pass over what is missing.
func outwards(root, group string) []string {
	var dirs []string
	for inner := strings.Trim(path.Clean("/"+group), "/"); inner != "" && inner != "."; inner = path.Dir(inner) {
		dirs = append(dirs, root+"/"+inner)
	}
	return append(dirs, root)
}

// cpu reads used time and limit; found is false when the group has no limit.
func (g *cgroup) cpu() (at cpuAt, found bool, err error) {
	limit := math.Inf(1)
	for _, dir := range g.cpuDirs {
		cores, err := g.coresAt(dir)
		if err != nil {
			return cpuAt{}, false, err
		}
		limit = min(limit, cores)
	}
	if math.IsInf(limit, 1) {
		return cpuAt{}, false, nil
	}
	for _, dir := range g.acctDirs {
		used, found, err := g.cpuUsedAt(dir)
		if err != nil {
			return cpuAt{}, false, err
		}
		if found {
			return cpuAt{source: dir, used: used, limit: Cores(limit)}, true, nil
		}
	}
	return cpuAt{}, false, nil
}

func (g *cgroup) coresAt(dir string) (float64, error) {
	name := "cpu.max"
	if !g.unified {
		name = "cpu.cfs_quota_us"
	}
	text, found, err := g.read(dir, name)
	if err != nil || !found {
		return math.Inf(1), err
	}
	quota, period := text, "100000"
	if g.unified {
		quota, period, _ = strings.Cut(text, " ")
	} else if written, found, err := g.read(dir, "cpu.cfs_period_us"); err != nil {
		return 0, err
	} else if found {
		period = written
	}
	if quota == "max" || quota == "-1" {
		return math.Inf(1), nil
	}
	return cores(dir, quota, period)
}

func cores(dir, quota, period string) (float64, error) {
	q, errQuota := strconv.ParseInt(quota, 10, 64)
	p, errPeriod := strconv.ParseInt(period, 10, 64)
	if errQuota != nil || errPeriod != nil || q <= 0 || p <= 0 {
		return 0, fmt.Errorf("CPU limit of /%s: quota %.32q and period %.32q are not positive numbers", dir, quota, period)
	}
	return float64(q) / float64(p), nil
}

func (g *cgroup) cpuUsedAt(dir string) (used time.Duration, found bool, err error) {
	name, field, unit := "cpuacct.usage", "", time.Nanosecond
	if g.unified {
		name, field, unit = "cpu.stat", "usage_usec", time.Microsecond
	}
	text, found, err := g.read(dir, name)
	if err != nil || !found {
		return 0, false, err
	}
	if field != "" {
		if text, found = statField(text, field); !found {
			return 0, false, nil
		}
	}
	value, err := positive(dir, name, text)
	if err != nil {
		return 0, false, err
	}
	if value > math.MaxInt64/int64(unit) {
		return 0, false, fmt.Errorf("/%s/%s: %.32q is out of range", dir, name, text)
	}
	return time.Duration(value) * unit, true, nil
}

func (g *cgroup) read(dir, name string) (text string, found bool, err error) {
	content, err := fs.ReadFile(g.files, dir+"/"+name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read /%s/%s: %w", dir, name, err)
	}
	return strings.TrimSpace(string(content)), true, nil
}

func statField(stat, field string) (string, bool) {
	for line := range strings.Lines(stat) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name == field {
			return value, true
		}
	}
	return "", false
}

func positive(dir, name, text string) (int64, error) {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil || value < 0 {
		return 0, fmt.Errorf("/%s/%s: %.32q is not a number from 0", dir, name, text)
	}
	return value, nil
}
