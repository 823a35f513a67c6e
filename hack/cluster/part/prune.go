package part

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/tidegate/tidegate/hack/cluster/place"
)

// keep is how many builds of a part stay: this one's, and that of the branch one comes back to.
const keep = 2

// builds matches the folders that Build makes.
var builds = regexp.MustCompile(`^([a-z]+)-[0-9a-f]{12}(\.unfinished)?$`)

// Prune removes all builds of each part but the newest two and those in use, and the images made from what it removes.
// It returns the names of the folders. Nobody may be building meanwhile: what is unfinished goes too.
func Prune(at place.Place, inUse func(folder string) bool) ([]string, error) {
	entries, err := os.ReadDir(at.Bin())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the built parts: %w", err)
	}
	finished := make(map[string][]fs.FileInfo)
	var old []string
	for _, entry := range entries {
		found := builds.FindStringSubmatch(entry.Name())
		info, err := entry.Info()
		switch {
		case found == nil || err != nil || !entry.IsDir():
		case found[2] != "":
			old = append(old, entry.Name())
		default:
			finished[found[1]] = append(finished[found[1]], info)
		}
	}
	for _, all := range finished {
		slices.SortFunc(all, func(a, b fs.FileInfo) int {
			return cmp.Or(b.ModTime().Compare(a.ModTime()), cmp.Compare(a.Name(), b.Name()))
		})
		for _, info := range all[min(keep, len(all)):] {
			if !inUse(filepath.Join(at.Bin(), info.Name())) {
				old = append(old, info.Name())
			}
		}
	}
	slices.Sort(old)
	return old, remove(at, old)
}

func remove(at place.Place, folders []string) error {
	var problems []error
	for _, name := range folders {
		problems = append(problems, os.RemoveAll(filepath.Join(at.Bin(), name)))
		archives, err := filepath.Glob(filepath.Join(at.Images(), name+"*.tar"))
		problems = append(problems, err)
		for _, archive := range archives {
			problems = append(problems, os.Remove(archive))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("remove old builds: %w", err)
	}
	return nil
}
