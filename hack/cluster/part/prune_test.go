package part

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tidegate/tidegate/hack/cluster/place"
)

func TestOldBuildsGoAndWhatIsUsedOrIsNoBuildStays(t *testing.T) {
	at := place.Place{Home: t.TempDir()}
	// The newest first; the age is in minutes.
	names := []string{
		"etcd-000000000001", "etcd-000000000002", "etcd-000000000003", "etcd-000000000004", "keda-aaaaaaaaaaaa", "keda-bbbbbbbbbbbb",
		"keda-cccccccccccc", "etcd-000000000005.unfinished", "etcd-mine", "pause-1f49f06058bd",
	}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for i, name := range names {
		dir := filepath.Join(at.Bin(), name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		age := now.Add(-time.Duration(i) * time.Minute)
		if err := os.Chtimes(dir, age, age); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(at.Images(), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, archive := range []string{"keda-cccccccccccc-operator.tar", "keda-aaaaaaaaaaaa-operator.tar"} {
		if err := os.WriteFile(filepath.Join(at.Images(), archive), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	removed, err := Prune(at, func(folder string) bool { return folder == filepath.Join(at.Bin(), "etcd-000000000004") })
	gone := []string{"etcd-000000000003", "etcd-000000000005.unfinished", "keda-cccccccccccc"}
	if err != nil || !slices.Equal(removed, gone) {
		t.Errorf("removed %q, %v; want %q", removed, err, gone)
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(at.Bin(), name)); (err != nil) != slices.Contains(gone, name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	images, err := os.ReadDir(at.Images())
	if err != nil || len(images) != 1 || images[0].Name() != "keda-aaaaaaaaaaaa-operator.tar" {
		t.Errorf("images %v, %v: those of a removed build are never used again", images, err)
	}
	if removed, err := Prune(place.Place{Home: filepath.Join(at.Home, "nothing")}, nil); removed != nil || err != nil {
		t.Errorf("without any build: %q, %v", removed, err)
	}
}
