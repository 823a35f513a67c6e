package part

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/hack/cluster/place"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func module(files ...string) fstest.MapFS {
	m := make(fstest.MapFS)
	for i := 0; i < len(files); i += 2 {
		m[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return m
}

func TestWhateverChangesAProgramChangesItsFolder(t *testing.T) {
	base := Part{Name: "etcd", target: "tool"}
	files := module("go.mod", "module a", "go.sum", "x", "main.go", "package main")
	known, err := base.hash(files, "go1.26.8 linux amd64")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]func() (string, error){
		"another Go": func() (string, error) { return base.hash(files, "go1.26.9 linux amd64") },
		"another version": func() (string, error) {
			return base.hash(module("go.mod", "module b", "go.sum", "x", "main.go", "package main"), "go1.26.8 linux amd64")
		},
		"another sum": func() (string, error) {
			return base.hash(module("go.mod", "module a", "go.sum", "y", "main.go", "package main"), "go1.26.8 linux amd64")
		},
		"another program": func() (string, error) {
			return base.hash(module("go.mod", "module a", "go.sum", "x", "main.go", "package main\n"), "go1.26.8 linux amd64")
		},
		"no program": func() (string, error) {
			return base.hash(module("go.mod", "module a", "go.sum", "x"), "go1.26.8 linux amd64")
		},
		"another stamp": func() (string, error) {
			return Part{Name: "etcd", target: "tool", stamp: "-X a=b"}.hash(files, "go1.26.8 linux amd64")
		},
		"another target": func() (string, error) { return Part{Name: "etcd", target: "."}.hash(files, "go1.26.8 linux amd64") },
		"bytes moved across": func() (string, error) {
			return base.hash(module("go.mod", "module ax", "go.sum", "", "main.go", "package main"), "go1.26.8 linux amd64")
		},
	}
	for name, with := range cases {
		if got, err := with(); err != nil || got == known {
			t.Errorf("%s: the old programs would be taken (%v)", name, err)
		}
	}
	if again, err := base.hash(files, "go1.26.8 linux amd64"); err != nil || again != known {
		t.Errorf("the same part built twice: %s, %s, %v", known, again, err)
	}
	if _, err := base.hash(module("README.md", "x"), ""); err == nil {
		t.Error("a folder without a module is taken for a part")
	}
}

func repository(t *testing.T, source string) place.Place {
	t.Helper()
	at := place.Place{Repo: t.TempDir(), Home: t.TempDir()}
	dir := at.Parts("pause")
	for file, text := range map[string]string{"go.mod": "module pause\n\ngo 1.26.0\n", "main.go": source} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return at
}

func TestAPartIsBuiltOnce(t *testing.T) {
	at := repository(t, "package main\n\nfunc main() {}\n")
	var out bytes.Buffer
	folder, err := Part{Name: "pause", target: "."}.Build(t.Context(), at, &out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "pause")); err != nil || !strings.Contains(out.String(), "built in") {
		t.Errorf("%v; said %q", err, &out)
	}
	out.Reset()
	if again, err := (Part{Name: "pause", target: "."}).Build(t.Context(), at, &out); err != nil || again != folder || out.Len() > 0 {
		t.Errorf("the second time: %s, %v, said %q", again, err, &out)
	}
}

func TestABuildThatFailsLeavesNothingThatLooksBuilt(t *testing.T) {
	at := repository(t, "package main\n\nfunc main() { tide }\n")
	pause := Part{Name: "pause", target: "."}
	_, err := pause.Build(t.Context(), at, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "undefined: tide") {
		t.Errorf("error %v does not carry the compiler's words", err)
	}
	if folder, err := pause.Folder(t.Context(), at); err != nil || Ready(folder) {
		t.Errorf("the next start would run a program that does not exist: %s, %v", folder, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pause.Build(ctx, at, new(bytes.Buffer)); err == nil {
		t.Error("an interrupted build is taken for done")
	}
}

func TestEveryPartHasAModule(t *testing.T) {
	at := place.Place{Repo: filepath.Join("..", "..", "..")}
	for _, p := range All() {
		if _, err := p.hash(os.DirFS(at.Parts(p.Name)), ""); err != nil {
			t.Error(err)
		}
	}
}
