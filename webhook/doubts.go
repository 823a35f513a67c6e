package webhook

import (
	"sync"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
)

const (
	// doubtQuiet is how long a doubt that was told is not told again.
	doubtQuiet = 10 * time.Minute
	// maxDoubts bounds what is remembered; beyond it some doubts are told early.
	maxDoubts = 1000
)

// doubts remember which Deployments operators were told of. They are safe for concurrent use.
type doubts struct {
	now  func() time.Time
	mu   sync.Mutex
	told map[fleet.ID]time.Time
}

func newDoubts(now func() time.Time) *doubts {
	return &doubts{now: now, told: make(map[fleet.ID]time.Time)}
}

// first reports whether nobody was told of a Deployment for a while, and takes it that somebody is now.
func (d *doubts) first(id fleet.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if at, told := d.told[id]; told && now.Sub(at) < doubtQuiet {
		return false
	}
	if len(d.told) >= maxDoubts {
		clear(d.told)
	}
	d.told[id] = now
	return true
}
