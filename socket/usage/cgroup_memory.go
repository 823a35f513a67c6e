package usage

import (
	"fmt"
	"math"
)

// unlimitedV1 is above every real limit: version 1 writes "no limit" as the largest page-aligned number.
const unlimitedV1 = 1 << 60

// memory reads the working set and the limit; found is false when the group has no limit. The page cache that
// the kernel would drop first is left out, as the kubelet does: it is not what gets a process killed.
func (g *cgroup) memory() (at memoryAt, found bool, err error) {
	limit := int64(math.MaxInt64)
	for _, dir := range g.memoryDirs {
		most, err := g.memoryLimitAt(dir)
		if err != nil {
			return memoryAt{}, false, err
		}
		limit = min(limit, most)
	}
	if limit >= unlimitedV1 {
		return memoryAt{}, false, nil
	}
	for _, dir := range g.memoryDirs {
		used, found, err := g.memoryUsedAt(dir)
		if err != nil {
			return memoryAt{}, false, err
		}
		if found {
			return memoryAt{used: used, limit: Bytes(limit)}, true, nil
		}
	}
	return memoryAt{}, false, nil
}

func (g *cgroup) memoryLimitAt(dir string) (int64, error) {
	name := "memory.limit_in_bytes"
	if g.unified {
		name = "memory.max"
	}
	text, found, err := g.read(dir, name)
	if err != nil || !found || text == "max" {
		return math.MaxInt64, err
	}
	limit, err := positive(dir, name, text)
	if err == nil && limit == 0 {
		return 0, fmt.Errorf("/%s/%s is 0: a process cannot run without memory", dir, name)
	}
	return limit, err
}

func (g *cgroup) memoryUsedAt(dir string) (used int64, found bool, err error) {
	name, cache := "memory.usage_in_bytes", "total_inactive_file"
	if g.unified {
		name, cache = "memory.current", "inactive_file"
	}
	text, found, err := g.read(dir, name)
	if err != nil || !found {
		return 0, false, err
	}
	if used, err = positive(dir, name, text); err != nil {
		return 0, false, err
	}
	stat, found, err := g.read(dir, "memory.stat")
	if err != nil || !found {
		return used, true, err
	}
	if text, found = statField(stat, cache); found {
		dropped, err := positive(dir, "memory.stat", text)
		return max(0, used-dropped), true, err
	}
	return used, true, nil
}
