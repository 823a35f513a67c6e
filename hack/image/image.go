// Package image makes container images from files of this machine, without a registry, a daemon or a base image. The same
// files give the same bytes: names are sorted and times fixed.
package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// File is one file of an image.
type File struct {
	// Path is absolute in the image.
	Path string
	// Source is the file on this machine; symbolic links are followed. Empty means Text.
	Source string
	Text   string
	Mode   int64
}

// Spec says what an image holds and how it runs.
type Spec struct {
	// Name is the whole reference, such as docker.io/local/tidegate:dev.
	Name  string
	Files []File
	// Folders are empty, and writable for everyone as /tmp is. /tmp is always there.
	Folders    []string
	Entrypoint []string
	Command    []string
	// User is numeric, so that Kubernetes can see that it is not root.
	User string
	Env  []string
	// Ports are those that the image serves, such as 8080/tcp.
	Ports []string
}

// NonRoot is the usual user of images without a shell.
const NonRoot = "65532:65532"

// Binary is the image of one static program.
func Binary(reference, program, entrypoint string) Spec {
	return Spec{
		Name:       reference,
		Files:      []File{{Path: entrypoint, Source: program, Mode: 0o755}},
		Entrypoint: []string{entrypoint},
		User:       NonRoot,
	}
}

// Validate reports every problem of a spec.
func (s Spec) Validate() error {
	var problems []error
	if _, err := name.NewTag(s.Name, name.StrictValidation); err != nil {
		problems = append(problems, fmt.Errorf("image name %q: %w; give registry, path and tag, such as docker.io/local/tidegate:dev", s.Name, err))
	}
	for _, f := range s.Files {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path {
			problems = append(problems, fmt.Errorf("image %s: file %q needs a clean absolute path in the image", s.Name, f.Path))
		}
	}
	if len(s.Entrypoint) == 0 {
		problems = append(problems, fmt.Errorf("image %s: it needs an entrypoint, there is no shell in it", s.Name))
	}
	return errors.Join(problems...)
}

// Build makes the image in memory.
func (s Spec) Build() (v1.Image, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	content, err := s.layer()
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	// Not compressed: the archive never leaves the machine, and reading it would cost more than its room.
	layer, err := tarball.LayerFromOpener(open, tarball.WithCompression(compression.None))
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", s.Name, err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", s.Name, err)
	}
	configuration, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", s.Name, err)
	}
	configuration = configuration.DeepCopy()
	configuration.OS, configuration.Architecture, configuration.Created = "linux", runtime.GOARCH, v1.Time{Time: epoch}
	configuration.Config = v1.Config{Entrypoint: s.Entrypoint, Cmd: s.Command, User: s.User, Env: s.Env, ExposedPorts: s.ports(), WorkingDir: "/"}
	image, err = mutate.ConfigFile(image, configuration)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", s.Name, err)
	}
	return image, nil
}

func (s Spec) ports() map[string]struct{} {
	ports := make(map[string]struct{}, len(s.Ports))
	for _, port := range s.Ports {
		ports[port] = struct{}{}
	}
	return ports
}

// epoch is the time of everything in an image.
var epoch = time.Unix(0, 0).UTC()

// Write writes the image as a docker archive, which `ctr images import` and `docker load` take. The file appears whole.
func (s Spec) Write(file string) error {
	image, err := s.Build()
	if err != nil {
		return err
	}
	tag, err := name.NewTag(s.Name, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("image name %q: %w", s.Name, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // images are for everyone on this machine
		return fmt.Errorf("make the folder of image %s: %w", s.Name, err)
	}
	unfinished := file + ".unfinished"
	if err := tarball.WriteToFile(unfinished, tag, image); err != nil {
		return errors.Join(fmt.Errorf("write image %s: %w", s.Name, err), os.Remove(unfinished))
	}
	if err := os.Rename(unfinished, file); err != nil {
		return fmt.Errorf("write image %s: %w", s.Name, err)
	}
	return nil
}

// layer is the image's file system as a tar.
func (s Spec) layer() ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, dir := range s.folders() {
		if err := w.WriteHeader(dir); err != nil {
			return nil, fmt.Errorf("image %s: folder %s: %w", s.Name, dir.Name, err)
		}
	}
	files := slices.SortedFunc(slices.Values(s.Files), func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	for _, f := range files {
		content, err := f.content()
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", s.Name, err)
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.Path[1:], Mode: f.Mode, Size: int64(len(content)), ModTime: epoch, Format: tar.FormatPAX}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("image %s: file %s: %w", s.Name, f.Path, err)
		}
		if _, err := w.Write(content); err != nil {
			return nil, fmt.Errorf("image %s: file %s: %w", s.Name, f.Path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("image %s: %w", s.Name, err)
	}
	return out.Bytes(), nil
}

func (f File) content() ([]byte, error) {
	if f.Source == "" {
		return []byte(f.Text), nil
	}
	content, err := os.ReadFile(f.Source)
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", f.Path, err)
	}
	return content, nil
}

// folders are every folder on the way to a file, then those that everyone may write to.
func (s Spec) folders() []*tar.Header {
	modes := make(map[string]int64)
	add := func(dir string, mode int64) {
		for ; dir != "/"; dir = path.Dir(dir) {
			if _, known := modes[dir]; !known {
				modes[dir] = mode
			}
			mode = 0o755
		}
	}
	const open = 0o1777
	for _, dir := range append([]string{"/tmp"}, s.Folders...) {
		add(path.Clean(dir), open)
	}
	for _, f := range s.Files {
		add(path.Dir(f.Path), 0o755)
	}
	headers := make([]*tar.Header, 0, len(modes))
	for dir, mode := range modes {
		headers = append(headers, &tar.Header{Typeflag: tar.TypeDir, Name: dir[1:] + "/", Mode: mode, ModTime: epoch, Format: tar.FormatPAX})
	}
	slices.SortFunc(headers, func(a, b *tar.Header) int { return strings.Compare(a.Name, b.Name) })
	return headers
}
