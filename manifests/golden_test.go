package manifests_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden renders anew")

// A review sees what a change really sends to a cluster.
func TestRendersAreAsReviewed(t *testing.T) {
	for _, name := range []string{"base", "local", "example"} {
		t.Run(name, func(t *testing.T) {
			got, err := build(t, roots[name]).AsYaml()
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("the render is not what was reviewed; if it is meant: go test ./manifests -update\n%s", diff)
			}
		})
	}
}
