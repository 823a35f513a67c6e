package remains

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/hack/cluster/place"
	"github.com/tidegate/tidegate/hack/cluster/process"
)

func TestTheClusterOfAnotherCacheIsLeftAloneWhileItLives(t *testing.T) {
	file := filepath.Join(t.TempDir(), "owner")
	one, two := place.Place{Home: "/one/tidegate/cluster"}, place.Place{Home: "/two/tidegate/cluster"}
	lives := func(place.Place) []string { return []string{"42 (etcd)"} }
	dead := func(place.Place) []string { return nil }
	if _, err := mine(file, two, lives); err != nil {
		t.Errorf("nobody's: %v", err)
	}
	if err := claim(file, one, lives); err != nil {
		t.Fatal(err)
	}
	if err := claim(file, one, lives); err != nil {
		t.Errorf("my own again: %v", err)
	}
	_, err := mine(file, two, lives)
	for _, err := range []error{claim(file, two, lives), err} {
		if err == nil || !strings.HasSuffix(err.Error(), "XDG_CACHE_HOME=/one") || !strings.Contains(err.Error(), "42 (etcd)") {
			t.Errorf("%v: the pods of a running cluster would be killed", err)
		}
	}
	if left, err := mine(file, two, dead); err != nil || left != one {
		t.Errorf("%+v, %v: a claim outlives its cluster and locks everybody out", left, err)
	}
	if err := claim(file, two, dead); err != nil {
		t.Errorf("a claim outlives its cluster and locks everybody out: %v", err)
	}
	if home, err := os.ReadFile(file); err != nil || string(home) != two.Home {
		t.Errorf("claimed for %s, %v", home, err)
	}
}

func TestAClaimThatNamesNoCacheIsNoPlaceToCleanUp(t *testing.T) {
	for _, home := range []string{"", "/", "/home", "tidegate/cluster"} {
		file := filepath.Join(t.TempDir(), "owner")
		if err := os.WriteFile(file, []byte(home), 0o600); err != nil {
			t.Fatal(err)
		}
		left, err := mine(file, place.Place{Home: "/two/tidegate/cluster"}, func(place.Place) []string { return nil })
		if err != nil || left.Home != "" {
			t.Errorf("%q: %+v, %v: the machine's own /run would be unmounted", home, left, err)
		}
	}
}

func TestAClaimIsHeldByItsRecordedProcesses(t *testing.T) {
	at := place.Place{Home: t.TempDir()}
	record, err := process.Book{Dir: at.Records()}.Start(t.Context(), process.Spec{Name: "etcd", Path: "sleep", Args: []string{"600"}, Log: at.Log("etcd")})
	if err != nil {
		t.Fatal(err)
	}
	name := strconv.Itoa(record.PID) + " (etcd)"
	held := slices.Contains(holders(at), name)
	if err := record.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !held {
		t.Error("another cache would take the network from a running etcd")
	}
	if slices.Contains(holders(at), name) {
		t.Error("a process that ended holds the claim")
	}
}

func TestAClaimIsHeldWhileItsClusterIsBeingStarted(t *testing.T) {
	at := place.Place{Home: t.TempDir()}
	file, err := os.Create(at.Lock())
	if err != nil {
		t.Fatal(err)
	}
	const name = "a command that builds, starts or stops it"
	before := slices.Contains(holders(at), name)
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	during := slices.Contains(holders(at), name)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if before || !during || locked(at.Lock()) || locked(at.Lock()+".none") {
		t.Errorf("held before the start %t, during it %t: two caches that start at once would take the network from each other", before, during)
	}
}
