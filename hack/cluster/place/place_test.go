package place_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/hack/cluster/place"
)

func TestTheRepositoryIsFoundFromAnyFolderInIt(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	at, err := place.Find()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(at.Parts("etcd"), "go.mod")); err != nil {
		t.Error(err)
	}
	if at.Run("pki", "ca.crt") != filepath.Join(cache, "tidegate", "cluster", "run", "pki", "ca.crt") {
		t.Errorf("run folder %s", at.Run())
	}
}

func TestACacheBehindALinkIsKnownByItsRealPath(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	disk, link := filepath.Join(base, "disk"), filepath.Join(base, "link")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(disk, link); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", filepath.Join(link, "cache"))
	want := filepath.Join(disk, "cache", "tidegate", "cluster")
	if at, err := place.Find(); err != nil || at.Home != want {
		t.Errorf("before the first start: %s, %v", at.Home, err)
	}
	if err := os.MkdirAll(want, 0o755); err != nil {
		t.Fatal(err)
	}
	if at, err := place.Find(); err != nil || at.Home != want {
		t.Errorf("%s, %v: a stop would look for the mounts and programs under a path that the kernel does not know", at.Home, err)
	}
}

func TestElsewhereTheErrorSaysWhereToGo(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if _, err := place.Find(); err == nil || !strings.Contains(err.Error(), "Tidegate's repository") {
		t.Errorf("error %v", err)
	}
}
