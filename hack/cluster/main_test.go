package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/hack/cluster/place"
)

func TestAWrongCommandIsNamedWithTheFix(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("CLUSTER", "")
	cases := []struct {
		name string
		args []string
		want string
	}{
		{"no such command", []string{"upp"}, "upp"},
		{"no such profile", []string{"up", "--profile", "fast"}, "fast"},
		{"no such component", []string{"kill", "radis"}, "take one of etcd"},
		{"nothing runs", []string{"kill", "redis"}, "cluster-up"},
		{"an image without a name", []string{"load-image", "--binary", "main.go"}, "--name"},
		{"nothing to load", []string{"load-image", "--name", "docker.io/local/x:1"}, "--binary"},
		{"a fault with kind", []string{"--kind", "kill", "redis"}, "local cluster"},
	}
	for _, c := range cases {
		var out, errOut bytes.Buffer
		if code := run(t.Context(), c.args, &out, &errOut); code == 0 || !strings.Contains(errOut.String(), c.want) {
			t.Errorf("%s: exit %d, said %q", c.name, code, &errOut)
		}
	}
}

func TestTwoCommandsDoNotBuildAtOnce(t *testing.T) {
	s := &session{at: place.Place{Home: t.TempDir()}}
	unlock, err := lock(s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(s); err == nil || !strings.Contains(err.Error(), "right now") {
		t.Errorf("a second command goes ahead: %v", err)
	}
	unlock()
	unlock, err = lock(s)
	if err != nil {
		t.Fatalf("the lock outlives its holder: %v", err)
	}
	unlock()
}

func TestAnImageIsWrittenWithoutACluster(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	var out, errOut bytes.Buffer
	file := t.TempDir() + "/image.tar"
	if code := run(t.Context(), []string{"load-image", "--binary", "main.go", "--name", "docker.io/local/x:1", "--output", file}, &out, &errOut); code != 0 {
		t.Errorf("exit %d: %s", code, &errOut)
	}
}
