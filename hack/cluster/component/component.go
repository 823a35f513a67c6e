// Package component knows the cluster's processes: how each is started, and how one sees that it works.
package component

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/hack/cluster/network"
	"github.com/tidegate/tidegate/hack/cluster/place"
	"github.com/tidegate/tidegate/hack/cluster/process"
)

// Profile selects what Kubernetes can do.
type Profile string

// The profiles.
const (
	Default Profile = "default"
	// NoTolerance drops the HPA's tolerance field, as API servers before 1.35 do.
	NoTolerance Profile = "no-tolerance"
)

// Component is one process of the cluster.
type Component struct {
	Name string
	// Needs are the components and other steps that must be done before it starts.
	Needs []string
	// spec says how to start it.
	spec func(s Setup) process.Spec
	// Probe returns nil when it does its work.
	Probe func(ctx context.Context, s Setup) error
}

// Setup is what components are started with.
type Setup struct {
	Place   place.Place
	Profile Profile
	// Folders are the built parts, by name.
	Folders map[string]string
}

// program is a built program's path.
func (s Setup) program(part, name string) string { return filepath.Join(s.Folders[part], name) }

// Program is the path of a tool that the cluster was built with: kubectl or ctr.
func (s Setup) Program(name string) string {
	if name == "ctr" {
		return s.program("containerd", name)
	}
	return s.program("kubernetes", name)
}

// Path is a PATH with the built programs first.
func (s Setup) Path(rest string) string {
	return strings.Join([]string{s.Folders["kubernetes"], s.Folders["containerd"], rest}, ":")
}

// Book holds the records of the running components.
func Book(at place.Place) process.Book { return process.Book{Dir: at.Records()} }

// Names are all components, in the order of their start.
func Names() []string {
	all := All()
	names := make([]string, 0, len(all))
	for _, c := range all {
		names = append(names, c.Name)
	}
	return names
}

// Find returns a component by name.
func Find(name string) (Component, error) {
	all := All()
	at := slices.IndexFunc(all, func(c Component) bool { return c.Name == name })
	if at < 0 {
		return Component{}, fmt.Errorf("there is no component %q; take one of %s", name, strings.Join(Names(), ", "))
	}
	return all[at], nil
}

// Start runs the component unless it runs already, and records it. A paused one it lets run on; one whose record was lost
// it finds again.
func (c Component) Start(ctx context.Context, s Setup) (process.Record, error) {
	book := Book(s.Place)
	spec := c.spec(s)
	spec.Name, spec.Log, spec.Netns = c.Name, s.Place.Log(c.Name), network.File
	if spec.Dir == "" {
		spec.Dir = s.Place.Run()
	}
	record, err := book.Find(c.Name)
	if err == nil && record.State() == process.Gone {
		record, err = book.Adopt(spec)
	}
	if err != nil {
		return record, err
	}
	switch record.State() {
	case process.Running:
		return record, nil
	case process.Paused:
		return record, record.Signal(unix.SIGCONT)
	}
	if err := prepare(ctx, c.Name, s); err != nil {
		return record, err
	}
	return book.Start(ctx, spec)
}

// wait is how often a starting component is asked whether it is ready.
const wait = 100 * time.Millisecond

// Await waits until the component does its work. When its process ends, the error carries its last words.
func (c Component) Await(ctx context.Context, s Setup) error {
	tick := time.NewTicker(wait)
	defer tick.Stop()
	for {
		err := c.Probe(ctx, s)
		if err == nil {
			return nil
		}
		record, errFind := Book(s.Place).Find(c.Name)
		if errFind == nil && record.State() == process.Gone {
			return fmt.Errorf("%s ended while it started:\n%s", c.Name, tail(s.Place.Log(c.Name)))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; its log is %s", c.Name, err, s.Place.Log(c.Name))
		case <-tick.C:
		}
	}
}

// tailBytes is how much of a log an error shows.
const tailBytes = 2000

func tail(file string) string {
	text, err := os.ReadFile(file) //nolint:gosec // a log of ours
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-tailBytes):])
}
