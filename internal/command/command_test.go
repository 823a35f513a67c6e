package command_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/command"
)

func run(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code = command.Run(ctx, args, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestHelpNamesEveryProcessAndEveryEnvironmentVariable(t *testing.T) {
	code, out, _ := run(t, "--help")
	for _, word := range []string{"socket", "balancer", "scaler", "webhook", "demo", "record", "version"} {
		if code != 0 || !strings.Contains(out, word) {
			t.Errorf("exit %d, help does not name %q:\n%s", code, word, out)
		}
	}
	for _, process := range []string{"socket", "balancer", "scaler", "webhook", "demo", "record"} {
		code, out, _ := run(t, process, "--help")
		if code != 0 {
			t.Errorf("%s --help exits with %d", process, code)
		}
		flags, documented := strings.Count(out, "\n      --"), strings.Count(out, "($TIDEGATE_")
		if flags < 5 || documented < flags {
			t.Errorf("%s: %d flags, %d environment variables: an operator could not set one in a pod\n%s", process, flags, documented, out)
		}
	}
}

func TestAWrongSettingIsNamedWithItsValueAndTheFix(t *testing.T) {
	cases := []struct {
		name string
		args []string
		want []string
	}{
		{"no process", nil, []string{"socket", "--help"}},
		{"an unknown process", []string{"sokcet"}, []string{"sokcet", "socket"}},
		{"an unknown flag", []string{"demo", "--client=3"}, []string{"--client"}},
		{"a duration without a unit", []string{"demo", "--duration=90"}, []string{"--duration", "90", "tidegate demo --help"}},
		{"too few clients", []string{"demo", "--clients=3"}, []string{"--clients is 3", "give 60"}},
		{"several at once", []string{"demo", "--clients=3", "--port=70000"}, []string{"--clients is 3", "--port is 70000"}},
		{"a node without a fleet", []string{"socket"}, []string{"--fleet"}},
		{"a fleet without a namespace", []string{"socket", "--fleet=chat"}, []string{"--fleet", "namespace/name"}},
		{"a node without resume keys", []string{"socket", "--fleet=a/b", "--jwt-secret-file=x"}, []string{"--resume-key-file"}},
		{"a wrong port", []string{"scaler", "--scaler-listen=:http"}, []string{"--scaler-listen", "0 to 65535"}},
		{"a certificate without its key", []string{"scaler", "--tls-cert-file=c.pem"}, []string{"--tls-key-file"}},
		{"a balancer that believes nobody", []string{"balancer"}, []string{"--jwt-secret-file"}},
		{"a log level", []string{"--log-level=loud", "version"}, []string{"--log-level", "loud"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			code, _, errOut := run(t, c.args...)
			if code != 2 {
				t.Errorf("exit code is %d: a supervisor would restart what can never work", code)
			}
			for _, word := range c.want {
				if !strings.Contains(errOut, word) {
					t.Errorf("the error does not say %q:\n%s", word, errOut)
				}
			}
		})
	}
}

func TestEnvironmentVariablesSetFlags(t *testing.T) {
	t.Setenv("TIDEGATE_DEMO_CLIENTS", "7")
	if _, _, errOut := run(t, "demo"); !strings.Contains(errOut, "--clients is 7") {
		t.Errorf("TIDEGATE_DEMO_CLIENTS was not read: %s", errOut)
	}
}

func TestVersionSaysWhichBuildItIs(t *testing.T) {
	code, out, _ := run(t, "version")
	if code != 0 || !strings.HasPrefix(out, "tidegate ") || len(strings.TrimSpace(out)) < len("tidegate x") {
		t.Errorf("exit %d, version is %q", code, out)
	}
}
