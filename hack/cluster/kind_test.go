package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kindMachine is a machine on which kind and kubectl note how they are called; kind says that these clusters exist.
func kindMachine(t *testing.T, clusters string) (calls func() string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	script := "#!/bin/sh\necho \"${0##*/} $*\" >>" + log + "\n[ \"$1 $2\" != 'get clusters' ] || echo '" + clusters + "'\n"
	for _, name := range []string{"kind", "kubectl"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	t.Setenv("CLUSTER", "kind")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return func() string {
		text, err := os.ReadFile(log)
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
}

func TestAStartWithKindMakesTheClusterOnceOnly(t *testing.T) {
	cases := []struct {
		name, clusters string
		args           []string
		wants, not     string
	}{
		{"none yet", "other", []string{"up"}, "kind create cluster", "delete"},
		{"there already", "other tidegate", []string{"up"}, "kind export kubeconfig", "create"},
		{"fresh", "tidegate", []string{"up", "--fresh"}, "kind delete cluster --name tidegate", "export"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			calls := kindMachine(t, c.clusters)
			var out, errOut bytes.Buffer
			if code := run(t.Context(), c.args, &out, &errOut); code != 0 {
				t.Fatalf("exit %d: %s", code, &errOut)
			}
			if got := calls(); !strings.Contains(got, c.wants) || strings.Contains(got, c.not) || !strings.Contains(got, "kubectl apply") {
				t.Errorf("called %s", got)
			}
			if !strings.Contains(out.String(), "export KUBECONFIG=") {
				t.Errorf("said %q: nobody finds the cluster", &out)
			}
		})
	}
}

func TestWhatKindCannotDoIsRefusedInWords(t *testing.T) {
	calls := kindMachine(t, "tidegate")
	cases := []struct {
		name string
		args []string
		want string
	}{
		{"another Kubernetes", []string{"up", "--profile", "no-tolerance"}, "needs the local cluster"},
		{"the end-to-end tests", []string{"exec", "--", "true"}, "no Redis and Kafka"},
		{"a fault", []string{"kill", "redis"}, "local cluster"},
	}
	for _, c := range cases {
		var out, errOut bytes.Buffer
		if code := run(t.Context(), c.args, &out, &errOut); code == 0 || !strings.Contains(errOut.String(), c.want) {
			t.Errorf("%s: exit %d, said %q", c.name, code, &errOut)
		}
	}
	if got := calls(); strings.Contains(got, "kind ") {
		t.Errorf("called %s", got)
	}
}
