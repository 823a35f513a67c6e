package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/tidegate/tidegate/hack/cluster/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden are the files whose content matters to whoever reads a change.
var golden = []string{
	"containerd/config.toml", "cni/10-pods.conflist", "kubelet/config.yaml", "kube-proxy.yaml", "Corefile", "audit.yaml",
	"kafka/kafka.properties", "resolv.conf", "kubelet.kubeconfig", "access.yaml",
}

func TestFilesAreWhatTheyWereReviewedToBe(t *testing.T) {
	run := t.TempDir()
	if err := config.Write(run, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, file := range golden {
		text, err := os.ReadFile(filepath.Join(run, file))
		if err != nil {
			t.Fatal(err)
		}
		got := strings.ReplaceAll(string(text), run, "/RUN")
		known := filepath.Join("testdata", strings.ReplaceAll(file, "/", "-"))
		if *update {
			if err := os.WriteFile(known, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(known)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s differs; after review: go test ./hack/cluster/config -update\n%s", file, diff)
		}
	}
}

func TestEveryKubeconfigNamesFilesThatExist(t *testing.T) {
	run := t.TempDir()
	if err := config.Write(run, time.Now()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(run, "*kubeconfig"))
	if err != nil || len(files) != 6 {
		t.Fatalf("%d kubeconfigs, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var parsed struct {
			Clusters []struct{ Cluster map[string]string }
			Users    []struct{ User map[string]string }
		}
		if err := yaml.Unmarshal(text, &parsed); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, path := range []string{
			parsed.Clusters[0].Cluster["certificate-authority"],
			parsed.Users[0].User["client-certificate"], parsed.Users[0].User["client-key"],
		} {
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %v", filepath.Base(file), err)
			}
		}
	}
}

func TestAValueThatATemplateMissesIsAnError(t *testing.T) {
	if _, err := config.Render("keda.yaml", map[string]string{}); err == nil {
		t.Error("a manifest was written with a hole in it")
	}
	if _, err := config.Render("nothing.yaml", nil); err == nil {
		t.Error("a template that does not exist was rendered")
	}
}
