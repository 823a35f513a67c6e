package remains

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/hack/cluster/network"
	"github.com/tidegate/tidegate/hack/cluster/place"
	"github.com/tidegate/tidegate/hack/cluster/process"
)

// owner is the file that says whose cluster has the machine's only namespace and cgroup of that name.
const owner = "/run/" + network.Namespace + "-cluster"

// Claim says that the namespace and the cgroup belong to this cache from now on.
func Claim(at place.Place) error { return claim(owner, at, holders) }

func claim(file string, at place.Place, alive func(place.Place) []string) error {
	if _, err := mine(file, at, alive); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(at.Home), 0o644); err != nil { //nolint:gosec // whoever starts another one reads it
		return fmt.Errorf("claim the cluster's network: %w", err)
	}
	return nil
}

// mine refuses when another cache's cluster runs: a clean-up would end its pods and take its network. A claim of which
// nothing is alive counts no more; its place is returned, so that what it left goes too.
func mine(file string, at place.Place, alive func(place.Place) []string) (dead place.Place, err error) {
	home, err := os.ReadFile(file) //nolint:gosec // a constant but for tests
	if errors.Is(err, fs.ErrNotExist) || err == nil && string(home) == at.Home {
		return place.Place{}, nil
	}
	if err != nil {
		return place.Place{}, fmt.Errorf("see whose cluster runs: %w", err)
	}
	theirs := place.Place{Home: string(home)}
	holders := alive(theirs)
	if len(holders) == 0 {
		if !filepath.IsAbs(theirs.Home) || !strings.HasSuffix(theirs.Home, "/tidegate/cluster") {
			return place.Place{}, nil
		}
		return theirs, nil
	}
	return place.Place{}, fmt.Errorf("the cluster of another cache runs, %s (held by %s): stop it with XDG_CACHE_HOME=%s",
		home, strings.Join(holders, ", "), filepath.Dir(filepath.Dir(string(home))))
}

// holders are the processes for which a claim is honoured: a command that is starting the cluster, the recorded ones, and
// whatever is in the network.
func holders(at place.Place) []string {
	var all []string
	if locked(at.Lock()) {
		all = append(all, "a command that builds, starts or stops it")
	}
	records, _ := process.Book{Dir: at.Records()}.All() // a folder that cannot be read records nothing
	for _, r := range records {
		if r.State() != process.Gone {
			all = append(all, fmt.Sprintf("%d (%s)", r.PID, r.Name))
		}
	}
	inside, err := os.Stat(network.File)
	if err != nil {
		return all
	}
	for _, pid := range pids() {
		if own, err := os.Stat(proc(pid, "ns/net")); err == nil && os.SameFile(own, inside) {
			all = append(all, fmt.Sprintf("%d (%s)", pid, command(pid)))
		}
	}
	return all
}

// locked reports whether a living process holds the lock.
func locked(name string) bool {
	file, err := os.Open(name) //nolint:gosec // a file of ours
	if err != nil {
		return false
	}
	defer file.Close() //nolint:errcheck // it was only looked at, and with it goes the lock
	return errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}
