package balancer_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/tidegate/tidegate/balancer"
)

func parse(t *testing.T, args ...string) (balancer.Options, error) {
	t.Helper()
	var o balancer.Options
	parser, err := kong.New(&o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		return o, err
	}
	return o, o.Validate()
}

func TestDefaultOptionsNeedOnlyToBeToldWhoMayConnect(t *testing.T) {
	if _, err := parse(t); err == nil || !strings.Contains(err.Error(), "--dev") {
		t.Errorf("without a way to check clients: %v, want an error that names the ways", err)
	}
	o, err := parse(t, "--dev")
	if err != nil {
		t.Fatal(err)
	}
	if !o.Audit || o.Interval != time.Second || o.Shards != 1024 || o.Election != "redis" {
		t.Errorf("defaults %+v", o)
	}
}

func TestWrongOptionNamesFieldValueAndFix(t *testing.T) {
	tests := map[string][]string{
		"--balancer-listen=8081":           {"--balancer-listen", `"8081"`, "host:port"},
		"--balancer-admin-listen=:99999":   {"--balancer-admin-listen", ":99999", "0 to 65535"},
		"--balancer-interval=1ms":          {"--balancer-interval", "1ms", "50ms to 30s"},
		"--probe-timeout=1h":               {"--probe-timeout", "1h", "10s"},
		"--lease-duration=10ms":            {"--lease-duration", "10ms", "1s"},
		"--redis-timeout=5s":               {"--redis-timeout", "5s", "--lease-duration", "at most 2s"},
		"--shards=0":                       {"--shards", "0", "65536"},
		"--shards=70000":                   {"--shards", "70000"},
		"--election=zookeeper":             {"--election", "zookeeper", "kubernetes"},
		"--election=kubernetes":            {"--lease-namespace", `""`},
		"--redis-addr=nowhere":             {"--redis-addr", "nowhere", "host:port"},
		"--kafka-broker=nowhere":           {"--kafka-broker", "nowhere"},
		"--jwks-url=http://issuer.example": {"--jwks-url"},
		"--kubernetes":                     {"--fleet-namespaces", "empty", `"*"`},
	}
	for arg, wants := range tests {
		t.Run(arg, func(t *testing.T) {
			_, err := parse(t, "--dev", arg)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

// policyFile is a file with this policy.
func policyFile(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWrongPolicyFileNamesItself(t *testing.T) {
	path := policyFile(t, `{"margin": "lots"}`)
	for file, want := range map[string]string{path: "margin", "/no/such/file": "/no/such/file"} {
		o, err := parse(t, "--dev", "--no-audit", "--policy-file="+file, "--balancer-listen=127.0.0.1:0", "--balancer-admin-listen=127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		err = balancer.Run(t.Context(), o, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "--policy-file") || !strings.Contains(err.Error(), want) {
			t.Errorf("policy file %s: %v, want an error that names it and %q", file, err, want)
		}
	}
}

func TestIntervalThatWouldFindNoDeadNodeIsRefused(t *testing.T) {
	for args, wants := range map[string][]string{
		"--balancer-interval=2s": {"--balancer-interval", "2s", "heartbeatInterval 1s", "staleHeartbeats 3", "at most 1.5s"},
		"--policy-file=" + policyFile(t, `{"heartbeatInterval": "100ms"}`): {"--balancer-interval", "1s", "heartbeatInterval 100ms", "at most 150ms"},
	} {
		o, err := parse(t, "--dev", "--no-audit", "--balancer-listen=127.0.0.1:0", "--balancer-admin-listen=127.0.0.1:0", args)
		if err != nil {
			t.Fatal(err)
		}
		// A process that starts all the same ends at once.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err = balancer.Run(ctx, o, slog.New(slog.DiscardHandler))
		for _, want := range wants {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want an error that says %q: a silent node would never be found", args, err, want)
			}
		}
	}
}

func TestWrongNamespacesAreNamed(t *testing.T) {
	for namespaces, want := range map[string]string{
		"Shop":    `"Shop"`,
		"shop,*":  "leave out the others",
		"a/b,c_d": `"c_d"`,
	} {
		if _, err := parse(t, "--dev", "--kubernetes", "--fleet-namespaces="+namespaces); err == nil || !strings.Contains(err.Error(), "--fleet-namespaces") || !strings.Contains(err.Error(), want) {
			t.Errorf("--fleet-namespaces=%s: %v, want an error with %q", namespaces, err, want)
		}
	}
	for _, namespaces := range []string{"shop", "shop,bank,shop", "*"} {
		if _, err := parse(t, "--dev", "--kubernetes", "--fleet-namespaces="+namespaces); err != nil {
			t.Errorf("--fleet-namespaces=%s: %v", namespaces, err)
		}
	}
}

func TestTheNamespaceOfThePodIsTheDefault(t *testing.T) {
	t.Setenv("POD_NAMESPACE", "shop")
	o, err := parse(t, "--dev", "--kubernetes", "--election=kubernetes")
	if err != nil || len(o.FleetNamespaces) != 1 || o.FleetNamespaces[0] != "shop" || o.LeaseNamespace != "shop" {
		t.Errorf("namespaces %q and %q, error %v, want the pod's own", o.FleetNamespaces, o.LeaseNamespace, err)
	}
}

func TestAWrongKubeconfigNamesItsOption(t *testing.T) {
	for flag, args := range map[string][]string{
		"--kubernetes": {"--kubernetes", "--fleet-namespaces=shop"},
		"--election":   {"--election=kubernetes", "--lease-namespace=shop"},
	} {
		o, err := parse(t, append(args, "--dev", "--no-audit", "--kubeconfig=/no/such/file", "--balancer-listen=127.0.0.1:0", "--balancer-admin-listen=127.0.0.1:0")...)
		if err != nil {
			t.Fatal(err)
		}
		err = balancer.Run(t.Context(), o, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), flag) || !strings.Contains(err.Error(), "--kubeconfig") {
			t.Errorf("%s: %v, want an error that names it and --kubeconfig", flag, err)
		}
	}
}
