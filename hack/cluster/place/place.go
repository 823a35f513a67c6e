// Package place says where the local cluster keeps things: sources in the repository, everything else in the user's cache.
package place

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// module is the first line of the go.mod that marks the repository's root.
const module = "module github.com/tidegate/tidegate"

// Place is the pair of folders that all other paths hang from.
type Place struct {
	// Repo is the repository's root.
	Repo string
	// Home holds binaries and images, which survive a stop, and the running cluster's state, which does not.
	Home string
}

// Find locates the repository from the working folder upwards, and the cache from XDG_CACHE_HOME or HOME.
func Find() (Place, error) {
	here, err := os.Getwd()
	if err != nil {
		return Place{}, fmt.Errorf("find the working folder: %w", err)
	}
	repo, err := root(here)
	if err != nil {
		return Place{}, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return Place{}, fmt.Errorf("find a place for binaries and state: %w; set XDG_CACHE_HOME", err)
	}
	home, err := resolve(filepath.Join(cache, "tidegate", "cluster"))
	if err != nil {
		return Place{}, fmt.Errorf("find a place for binaries and state: %w", err)
	}
	return Place{Repo: repo, Home: home}, nil
}

// resolve follows every symbolic link: the kernel names programs and mounts by their real paths, and a clean-up looks for
// them by these. What does not exist yet cannot be a link.
func resolve(path string) (string, error) {
	target, err := filepath.EvalSymlinks(path)
	if up := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) && up != path {
		target, err = resolve(up)
		return filepath.Join(target, filepath.Base(path)), err
	}
	return target, err
}

func root(dir string) (string, error) {
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod")) //nolint:gosec // the folder is where the developer stands
		if err == nil && strings.HasPrefix(string(text), module+"\n") {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("this is not inside Tidegate's repository: run it from there, the parts are built from hack/cluster/parts")
		}
		dir = up
	}
}

// Parts is the folder of a part's module.
func (p Place) Parts(name string) string {
	return filepath.Join(p.Repo, "hack", "cluster", "parts", name)
}

// Bin is the folder of all built parts.
func (p Place) Bin() string { return filepath.Join(p.Home, "bin") }

// Images is the folder of the container images made from parts.
func (p Place) Images() string { return filepath.Join(p.Home, "images") }

// Run is the folder of the running cluster, or a path in it.
func (p Place) Run(elem ...string) string {
	return filepath.Join(append([]string{p.Home, "run"}, elem...)...)
}

// Lock is the file that a command locks while it builds, starts or stops.
func (p Place) Lock() string { return filepath.Join(p.Home, "lock") }

// Records is the folder that says which processes are the cluster's.
func (p Place) Records() string { return p.Run("pids") }

// Log is the log file of a component. Logs outlive a stop, until the next start.
func (p Place) Log(component string) string { return p.Run("log", component+".log") }

// Kubeconfig is the administrator's.
func (p Place) Kubeconfig() string { return p.Run("kubeconfig") }

// Description is the JSON file that tells tests and people where everything is.
func (p Place) Description() string { return p.Run("cluster.json") }
