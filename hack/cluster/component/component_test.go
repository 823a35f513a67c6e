package component

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/hack/cluster/place"
	"github.com/tidegate/tidegate/hack/cluster/process"
)

func TestComponentsNeedWhatIsThere(t *testing.T) {
	known := append(Names(), StepPause, StepAccess)
	seen := make(map[string]bool)
	for _, c := range All() {
		if seen[c.Name] {
			t.Errorf("%s is there twice", c.Name)
		}
		seen[c.Name] = true
		for _, need := range c.Needs {
			if !slices.Contains(known, need) {
				t.Errorf("%s needs %s, which nobody starts", c.Name, need)
			}
		}
		spec := c.spec(Setup{Place: place.Place{Home: "/home"}, Folders: map[string]string{}})
		if spec.Path == "" || len(spec.Args) == 0 {
			t.Errorf("%s: %+v", c.Name, spec)
		}
	}
}

func TestOnlyTheProfileWithoutToleranceEmulatesAnOlderVersion(t *testing.T) {
	for _, start := range []func(Setup) []string{
		func(s Setup) []string { return apiServer(s).Args },
		func(s Setup) []string { return controllerManager(s).Args },
		func(s Setup) []string { return scheduler(s).Args },
	} {
		if args := start(Setup{Profile: Default}); slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, "emulated") }) {
			t.Errorf("default: %v", args)
		}
		if args := start(Setup{Profile: NoTolerance}); !slices.Contains(args, "--emulated-version=1.36") {
			t.Errorf("no-tolerance: %v: the parts would disagree on the version", args)
		}
	}
	if args := controllerManager(Setup{Profile: NoTolerance}).Args; !slices.Contains(args, "--feature-gates=HPAConfigurableTolerance=false") {
		t.Errorf("no-tolerance: %v: the test of the widened step would test nothing", args)
	}
}

func TestAnUnknownComponentIsAnsweredWithTheKnownOnes(t *testing.T) {
	if _, err := Find("radis"); err == nil || !strings.Contains(err.Error(), "radis") || !strings.Contains(err.Error(), "redis") {
		t.Errorf("error %v", err)
	}
	if c, err := Find("redis"); err != nil || c.Name != "redis" {
		t.Errorf("%v, %v", c.Name, err)
	}
}

// shell is a component that runs a script, in a cluster without a network.
func shell(t *testing.T, at place.Place) (Component, process.Spec) {
	t.Helper()
	spec := process.Spec{Name: "redis", Path: "/bin/sleep", Args: []string{"600", "0"}, Log: at.Log("redis"), Dir: at.Home}
	return Component{Name: "redis", spec: func(Setup) process.Spec { return process.Spec{Path: spec.Path, Args: spec.Args, Dir: spec.Dir} }}, spec
}

func TestAStartLetsAPausedComponentRunOn(t *testing.T) {
	at := place.Place{Home: t.TempDir()}
	c, spec := shell(t, at)
	record, err := Book(at).Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer end(t, record)
	if err := record.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	await(t, record, process.Paused)
	again, err := c.Start(t.Context(), Setup{Place: at})
	if err != nil || again != record {
		t.Errorf("%+v, %v; want the one that was paused, %+v", again, err, record)
	}
	await(t, record, process.Running)
}

func TestAStartFindsAComponentWhoseRecordWasLost(t *testing.T) {
	at := place.Place{Home: t.TempDir()}
	c, spec := shell(t, at)
	spec.Args[1] = strconv.Itoa(os.Getpid())
	record, err := Book(at).Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer end(t, record)
	file := filepath.Join(at.Records(), "redis.json")
	for _, text := range []string{"", `{"name":"redis","pi`, "{}"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if found, err := Book(at).Find("redis"); err != nil || found.State() != process.Gone {
			t.Errorf("%q: %+v, %v", text, found, err)
		}
		if again, err := c.Start(t.Context(), Setup{Place: at}); err != nil || again != record {
			t.Errorf("%q: %+v, %v: a second Redis would fail on the first one's port", text, again, err)
		}
		if found, err := Book(at).Find("redis"); err != nil || found != record {
			t.Errorf("%q: not recorded anew: %+v, %v", text, found, err)
		}
	}
}

func end(t *testing.T, record process.Record) {
	t.Helper()
	if err := record.Kill(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

func await(t *testing.T, record process.Record, state process.State) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); record.State() != state; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("is %s, not %s, after 10 s", record.State(), state)
		}
	}
}

// conversation is a connection whose other side has answered already.
type conversation struct {
	io.Reader
	asked bytes.Buffer
}

func (c *conversation) Write(p []byte) (int, error) { return c.asked.Write(p) }

func TestAServerIsReadyWhenItAnswersAsItself(t *testing.T) {
	cases := []struct {
		name   string
		greet  func(io.ReadWriter) error
		answer string
		ready  bool
	}{
		{"redis that serves", greetRedis, "+PONG\r\n", true},
		{"redis that still loads its data", greetRedis, "-LOADING Redis is loading the dataset in memory\r\n", false},
		{"a connection that closes", greetRedis, "", false},
		{"kafka that serves", greetKafka, "\x00\x00\x00\x0a\x00\x00\x00\x07\x00\x00", true},
		{"kafka that refuses", greetKafka, "\x00\x00\x00\x0a\x00\x00\x00\x07\x00\x23", false},
		{"something else on its port", greetKafka, "HTTP/1.1 400 Bad Request\r\n", false},
		{"kafka that is starting", greetKafka, "", false},
	}
	for _, c := range cases {
		with := &conversation{Reader: strings.NewReader(c.answer)}
		if err := c.greet(with); (err == nil) != c.ready || with.asked.Len() == 0 {
			t.Errorf("%s: asked %q, answer %v", c.name, &with.asked, err)
		}
	}
}
