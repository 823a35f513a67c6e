package externalscaler_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"

	"github.com/tidegate/tidegate/externalscaler"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/metric"
)

func TestFlagsDefaultToTheDefaultOptions(t *testing.T) {
	var flags externalscaler.Options
	parser, err := kong.New(&flags)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(externalscaler.DefaultOptions(), flags); diff != "" {
		t.Errorf("the command line and the demo run with other defaults:\n%s", diff)
	}
	if err := flags.Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	if _, err := parser.Parse([]string{"--no-scaler-metadata-limits"}); err != nil || flags.MetadataLimits {
		t.Errorf("the limits cannot be switched off: %v", err)
	}
}

func TestValidateNamesTheField(t *testing.T) {
	tests := []struct {
		name   string
		change func(*externalscaler.Options)
		says   []string
	}{
		{"no address", func(o *externalscaler.Options) { o.Listen = "" }, []string{"--scaler-listen", `""`, "host:port"}},
		{"no port", func(o *externalscaler.Options) { o.Listen = "localhost" }, []string{"--scaler-listen", "localhost"}},
		{"a port beyond the last", func(o *externalscaler.Options) { o.Listen = ":70000" }, []string{"--scaler-listen", "70000", "65535"}},
		{"a port in words", func(o *externalscaler.Options) { o.AdminListen = ":http" }, []string{"--scaler-admin-listen", ":http"}},
		{"a certificate without its key", func(o *externalscaler.Options) { o.CertFile = "a.crt" }, []string{"--tls-key-file", "a.crt"}},
		{"a key without its certificate", func(o *externalscaler.Options) { o.KeyFile = "a.key" }, []string{"--tls-cert-file", "a.key"}},
		{"client certificates without TLS", func(o *externalscaler.Options) { o.ClientCAFile = "ca.crt" }, []string{"--client-ca-file", "ca.crt", "--tls-cert-file"}},
		{"no connection age", func(o *externalscaler.Options) { o.ConnectionAge = 0 }, []string{"--scaler-connection-age", "0s", "10s"}},
		{"a connection age of days", func(o *externalscaler.Options) { o.ConnectionAge = 48 * time.Hour }, []string{"--scaler-connection-age", "48h"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			o := externalscaler.DefaultOptions()
			tc.change(&o)
			err := o.Validate()
			if err == nil {
				t.Fatal("accepted")
			}
			for _, word := range tc.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("the words leave out %q: %v", word, err)
				}
			}
		})
	}
}

func TestATakenPortIsSaidWithTheFix(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	tests := map[string]func(*externalscaler.Options){
		"--scaler-listen":       func(o *externalscaler.Options) { o.Listen = taken.Addr().String() },
		"--scaler-admin-listen": func(o *externalscaler.Options) { o.AdminListen = taken.Addr().String() },
	}
	for flag, change := range tests {
		o := options()
		change(&o)
		err := externalscaler.Run(t.Context(), o, newBook(), quiet())
		if err == nil || !strings.Contains(err.Error(), flag) || !strings.Contains(err.Error(), "another port") {
			t.Errorf("got %v: want %s and the fix", err, flag)
		}
	}
}

func TestRunStopsWhenItsContextEnds(t *testing.T) {
	o := options()
	o.AdminListen = "127.0.0.1:0"
	o.MetadataLimits = false
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := externalscaler.Run(ctx, o, newBook(), quiet()); err != nil {
		t.Errorf("a stop that was asked for is no error: %v", err)
	}
	o.ConnectionAge = 0
	if err := externalscaler.Run(t.Context(), o, newBook(), quiet()); err == nil {
		t.Error("Run took options that Validate refuses")
	}
}

func TestHealthServiceSaysServing(t *testing.T) {
	address, _ := started(t, externalscaler.New(newBook(), quiet()), options())
	vitals := healthpb.NewHealthClient(dial(t, address, nil))
	for _, service := range []string{"", pb.ExternalScaler_ServiceDesc.ServiceName} {
		got, err := vitals.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil || got.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("service %q: %v, %v", service, got, err)
		}
	}
}

func TestAdminServesProbesAndMetrics(t *testing.T) {
	server := externalscaler.New(newBook(decided(1, 4)), quiet())
	admin := httptest.NewServer(server.Admin())
	defer admin.Close()
	if code, _ := get(t, admin.URL+keys.PathReady); code != http.StatusServiceUnavailable {
		t.Errorf("ready before it serves: %d", code)
	}
	address, stop := started(t, server, options())
	c := pb.NewExternalScalerClient(dial(t, address, nil))
	if _, err := c.GetMetrics(t.Context(), ask(ref())); err != nil {
		t.Fatal(err)
	}
	if code, _ := get(t, admin.URL+keys.PathReady); code != http.StatusOK {
		t.Errorf("not ready while it serves: %d", code)
	}
	if code, _ := get(t, admin.URL+keys.PathHealth); code != http.StatusOK {
		t.Errorf("not alive: %d", code)
	}
	_, body := get(t, admin.URL+keys.PathMetrics)
	for _, line := range []string{
		metric.ScalerCallsTotal + `{code="OK",method="GetMetrics"} 1`,
		metric.ScalerServedReplicas + `{fleet="shop/chat"} 4`,
		metric.ScalerDecisionAge + `{fleet="shop/chat"} 0`,
		metric.ScalerCallSeconds + `_count{method="GetMetrics"} 1`,
	} {
		if !strings.Contains(body, line) {
			t.Errorf("the metrics leave out %s", line)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if code, _ := get(t, admin.URL+keys.PathReady); code != http.StatusServiceUnavailable {
		t.Errorf("ready after it stopped: %d", code)
	}
	http.DefaultClient.CloseIdleConnections()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}
