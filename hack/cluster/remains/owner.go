package remains

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tidegate/tidegate/hack/cluster/network"
	"github.com/tidegate/tidegate/hack/cluster/place"
)

// owner is the file that says whose cluster has the machine's only namespace and cgroup of that name.
const owner = "/run/" + network.Namespace + "-cluster"

// Claim says that the namespace and the cgroup belong to this cache from now on.
func Claim(at place.Place) error { return claim(owner, at) }

func claim(file string, at place.Place) error {
	if err := mine(file, at); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(at.Home), 0o644); err != nil { //nolint:gosec // whoever starts another one reads it
		return fmt.Errorf("claim the cluster's network: %w", err)
	}
	return nil
}

// mine refuses when another cache's cluster runs: a clean-up would end its pods and take its network.
func mine(file string, at place.Place) error {
	home, err := os.ReadFile(file) //nolint:gosec // a constant but for tests
	if errors.Is(err, fs.ErrNotExist) || err == nil && string(home) == at.Home {
		return nil
	}
	if err != nil {
		return fmt.Errorf("see whose cluster runs: %w", err)
	}
	return fmt.Errorf("the cluster of another cache runs, %s: stop it with XDG_CACHE_HOME=%s, or remove %s if that cache is gone",
		home, filepath.Dir(filepath.Dir(string(home))), file)
}
