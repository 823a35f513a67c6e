package image_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/tidegate/tidegate/hack/image"
)

func program(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tidegate")
	if err := os.WriteFile(file, []byte("\x7fELF static"), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

func archive(t *testing.T, spec image.Spec) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := spec.Write(file); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestTheSameFilesGiveTheSameBytes(t *testing.T) {
	file := program(t)
	files := []image.File{{Path: "/tidegate", Source: file, Mode: 0o755}, {Path: "/etc/a", Text: "a", Mode: 0o644}}
	spec := image.Spec{Name: "docker.io/local/tidegate:dev", Files: files, Entrypoint: []string{"/tidegate"}, Folders: []string{"/run", "/var/lib/x"}}
	one, later := archive(t, spec), time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	if err := os.Chtimes(file, later, later); err != nil {
		t.Fatal(err)
	}
	spec.Files = []image.File{files[1], files[0]}
	if two := archive(t, spec); !bytes.Equal(one, two) {
		t.Error("order or time of the files changed the image: every load would be a new digest")
	}
	spec.Files[0].Text = "b"
	if three := archive(t, spec); bytes.Equal(one, three) {
		t.Error("another file, the same image")
	}
}

func TestTheImageRunsItsProgramAsNobody(t *testing.T) {
	spec := image.Binary("docker.io/local/tidegate:dev", program(t), "/tidegate")
	spec.Env, spec.Ports = []string{"A=b"}, []string{"8080/tcp"}
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := spec.Write(file); err != nil {
		t.Fatal(err)
	}
	made, err := tarball.ImageFromPath(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	configuration, err := made.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := configuration.Config
	if c.User != "65532:65532" || cmp.Diff(c.Entrypoint, []string{"/tidegate"}) != "" || cmp.Diff(c.Env, []string{"A=b"}) != "" || len(c.ExposedPorts) != 1 {
		t.Errorf("config %+v", c)
	}
	want := map[string]int64{"tmp": 0o1777, "tidegate": 0o755}
	if diff := cmp.Diff(want, modes(t, mutate.Extract(made))); diff != "" {
		t.Error(diff)
	}
}

func modes(t *testing.T, content io.Reader) map[string]int64 {
	t.Helper()
	found := make(map[string]int64)
	for r := tar.NewReader(content); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		found[header.Name] = header.Mode
	}
}

func TestFoldersOnTheWayToAFileAreClosed(t *testing.T) {
	spec := image.Spec{
		Name: "docker.io/local/x:1", Entrypoint: []string{"/usr/sbin/x"}, Folders: []string{"/var/lib/x"},
		Files: []image.File{{Path: "/usr/sbin/x", Text: "x", Mode: 0o755}, {Path: "/var/lib/x/state", Text: "x", Mode: 0o644}},
	}
	made, err := spec.Build()
	if err != nil {
		t.Fatal(err)
	}
	got := modes(t, mutate.Extract(made))
	for dir, want := range map[string]int64{"tmp": 0o1777, "var/lib/x": 0o1777, "var": 0o755, "var/lib": 0o755, "usr": 0o755, "usr/sbin": 0o755} {
		if got[dir] != want {
			t.Errorf("%s has mode %o, want %o", dir, got[dir], want)
		}
	}
}

func TestAWrongSpecIsNamedWithItsValue(t *testing.T) {
	good := image.Spec{Name: "docker.io/local/x:1", Entrypoint: []string{"/x"}}
	cases := []struct {
		name   string
		change func(*image.Spec)
		want   string
	}{
		{"no tag", func(s *image.Spec) { s.Name = "docker.io/local/x" }, `"docker.io/local/x"`},
		{"upper case", func(s *image.Spec) { s.Name = "docker.io/Local/x:1" }, "docker.io/Local/x:1"},
		{"relative path", func(s *image.Spec) { s.Files = []image.File{{Path: "x"}} }, `"x"`},
		{"a path that climbs", func(s *image.Spec) { s.Files = []image.File{{Path: "/a/../../x"}} }, "/a/../../x"},
		{"nothing to run", func(s *image.Spec) { s.Entrypoint = nil }, "entrypoint"},
	}
	for _, c := range cases {
		spec := good
		c.change(&spec)
		if err := spec.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	missing := image.Binary("docker.io/local/x:1", "/no/such/program", "/x")
	if err := missing.Write(filepath.Join(t.TempDir(), "x.tar")); err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("a program that is not there: %v", err)
	}
}
