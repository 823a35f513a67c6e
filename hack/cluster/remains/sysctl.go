package remains

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/hack/cluster/place"
)

// sysctlFile is the file in the cluster's folder that holds the kernel's settings of before. It stays until they are
// restored.
const sysctlFile = "sysctls.json"

// kubeletSets are the settings of the whole machine that a kubelet changes, under /proc/sys.
var kubeletSets = []string{
	"kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory", "vm/panic_on_oom", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// sysctls are the kernel's settings and what they were before the cluster started.
type sysctls struct {
	// root is where the kernel shows them, file where their values of before are kept.
	root, file string
}

func sysctlsOf(at place.Place) sysctls {
	return sysctls{root: "/proc/sys", file: at.Run(sysctlFile)}
}

// before is the content of the file. After a reboot its values mean nothing.
type before struct {
	Boot   string            `json:"boot"`
	Values map[string]string `json:"values"`
}

// SaveSysctls keeps the settings that a kubelet is about to change, unless earlier values still wait to be restored.
func SaveSysctls(at place.Place) error { return sysctlsOf(at).save() }

func (s sysctls) save() error {
	boot, err := s.read("kernel/random/boot_id")
	if err != nil {
		return fmt.Errorf("save the kernel's settings: %w", err)
	}
	known, err := s.load()
	if err != nil || known != nil {
		return err
	}
	all := before{Boot: boot, Values: make(map[string]string)}
	for _, name := range kubeletSets {
		// One that cannot be read, as in some containers, cannot be changed either.
		if value, err := s.read(name); err == nil {
			all.Values[name] = value
		}
	}
	text, err := json.Marshal(all)
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Dir(s.file), 0o755), os.WriteFile(s.file+".new", text, 0o600), os.Rename(s.file+".new", s.file)) //nolint:gosec // the logs beside it are for everyone
	}
	if err != nil {
		return fmt.Errorf("save the kernel's settings: %w", err)
	}
	return nil
}

// load returns the values of before; nil when there are none to restore.
func (s sysctls) load() (map[string]string, error) {
	text, err := os.ReadFile(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all before
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("read the kernel's settings of before: %w; look at it, set them by hand and remove %s", err, s.file)
	}
	if boot, err := s.read("kernel/random/boot_id"); err != nil || boot != all.Boot {
		return nil, err
	}
	return all.Values, nil
}

func (s sysctls) read(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(s.root, name)) //nolint:gosec // a file of the kernel's
	return strings.TrimSpace(string(text)), err
}

// restore sets what differs from before, and forgets the values when nothing differs any more.
func (s sysctls) restore() error {
	values, err := s.load()
	if err != nil {
		return err
	}
	var problems []error
	for name, value := range values {
		if now, err := s.read(name); err == nil && now == value {
			continue
		}
		if err := os.WriteFile(filepath.Join(s.root, name), []byte(value+"\n"), 0o644); err != nil { //nolint:gosec // a file of the kernel's
			problems = append(problems, fmt.Errorf("restore the kernel's setting %s: %w", name, err))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	return os.RemoveAll(s.file)
}

// changed names the settings that are not what they were.
func (s sysctls) changed() []string {
	values, err := s.load()
	if err != nil {
		return []string{err.Error()}
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if now, err := s.read(name); err == nil && now != values[name] {
			all = append(all, fmt.Sprintf("kernel setting %s, which is %s and was %s", strings.ReplaceAll(name, "/", "."), now, values[name]))
		}
	}
	return all
}
