package debian

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWhatIsMissingIsNamedOnce(t *testing.T) {
	got := Missing([]Need{{"sh", "dash"}, {"no-such-program", "one"}, {"/no/such/file", "one"}, {"nor-this", "two"}})
	if !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("missing %v", got)
	}
	if err := Ensure(t.Context(), []Need{{"sh", "dash"}}, new(bytes.Buffer)); err != nil {
		t.Errorf("nothing is missing: %v", err)
	}
}

func TestServicesCannotStartWhileTheyAreInstalled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy-rc.d")
	broken := errors.New("no network")
	err := unstarted(file, func() error {
		text, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(text, []byte("exit 101")) {
			t.Errorf("while installing the policy is %q, %v: Redis would take the machine's port", text, err)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Error("the policy stayed: no service of this machine would start any more")
	}
}

func TestAPolicyOfTheMachineStays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy-rc.d")
	if err := os.WriteFile(file, []byte("#!/bin/sh\nexit 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unstarted(file, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || !bytes.Contains(text, []byte("exit 0")) {
		t.Errorf("%q, %v", text, err)
	}
}
