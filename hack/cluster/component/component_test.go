package component

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/hack/cluster/place"
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
