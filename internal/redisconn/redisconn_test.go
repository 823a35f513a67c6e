package redisconn_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/alicebob/miniredis/v2"

	"github.com/tidegate/tidegate/internal/redisconn"
)

func defaults(t *testing.T, args ...string) redisconn.Options {
	t.Helper()
	var o redisconn.Options
	parser, err := kong.New(&o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestDefaultOptionsAreValid(t *testing.T) {
	if err := defaults(t).Validate(); err != nil {
		t.Fatalf("the defaults must start: %v", err)
	}
}

func TestWrongOptionNamesFieldValueAndFix(t *testing.T) {
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := map[string]struct {
		spoil func(*redisconn.Options)
		want  []string
	}{
		"no address":                       {func(o *redisconn.Options) { o.Addrs = nil }, []string{"--redis-addr", "host:port"}},
		"an address without port":          {func(o *redisconn.Options) { o.Addrs = []string{"redis"} }, []string{"--redis-addr", `"redis"`, "host:port"}},
		"sentinel and cluster":             {func(o *redisconn.Options) { o.Master, o.Cluster = "mymaster", true }, []string{"--redis-master", "--redis-cluster"}},
		"a certificate without key":        {func(o *redisconn.Options) { o.CertFile = "a.pem" }, []string{"--redis-tls-cert", "--redis-tls-key", "both or neither"}},
		"no timeout":                       {func(o *redisconn.Options) { o.Timeout = 0 }, []string{"--redis-timeout", "0s", "10ms to 30s"}},
		"a timeout of an hour":             {func(o *redisconn.Options) { o.Timeout = time.Hour }, []string{"--redis-timeout", "1h0m0s"}},
		"a password file that is missing":  {func(o *redisconn.Options) { o.PasswordFile = "/no/such/file" }, []string{"--redis-password-file", "/no/such/file"}},
		"an empty password file":           {func(o *redisconn.Options) { o.PasswordFile = file("\n") }, []string{"--redis-password-file", "empty"}},
		"authorities that are missing":     {func(o *redisconn.Options) { o.CAFile = "/no/such/ca" }, []string{"--redis-tls-ca", "/no/such/ca"}},
		"authorities that are no PEM":      {func(o *redisconn.Options) { o.CAFile = file("hello") }, []string{"--redis-tls-ca", "no PEM"}},
		"a client certificate of nonsense": {func(o *redisconn.Options) { o.CertFile, o.KeyFile = file("a"), file("b") }, []string{"--redis-tls-cert"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := defaults(t)
			test.spoil(&o)
			client, err := redisconn.Open(o)
			if err == nil {
				_ = client.Close()
				t.Fatal("opened with an option that cannot work")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

func TestPasswordRotatesWithoutARestart(t *testing.T) {
	server := miniredis.RunT(t)
	server.RequireAuth("old")
	path := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		if err := os.WriteFile(path, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old")
	client, err := redisconn.Open(defaults(t, "--redis-addr="+server.Addr(), "--redis-password-file="+path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if _, err := redisconn.Time(t.Context(), client); err != nil {
		t.Fatalf("the first password: %v", err)
	}
	addr := server.Addr()
	server.Close()
	server.RequireAuth("new")
	write("new")
	if err := server.StartAddr(addr); err != nil {
		t.Fatal(err)
	}
	if _, err := redisconn.Time(t.Context(), client); err != nil {
		t.Fatalf("after the password rotated: %v", err)
	}
}

func TestTimeIsTheServers(t *testing.T) {
	server := miniredis.RunT(t)
	want := time.UnixMilli(1_700_000_000_000)
	server.SetTime(want)
	client, err := redisconn.Open(defaults(t, "--redis-addr="+server.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	got, err := redisconn.Time(t.Context(), client)
	if err != nil || !got.Equal(want) {
		t.Fatalf("time %v (%v), want the server's %v", got, err, want)
	}
	if warning := redisconn.PersistenceWarning(t.Context(), client); warning != "" {
		t.Errorf("a server that does not tell about persistence warned: %q", warning)
	}
}

func TestClientLogGoesToTheLogger(t *testing.T) {
	var out bytes.Buffer
	redisconn.LogTo(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { redisconn.LogTo(slog.New(slog.DiscardHandler)) })
	client, err := redisconn.Open(defaults(t, "--redis-addr=127.0.0.1:1", "--redis-timeout=50ms"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if _, err := redisconn.Time(t.Context(), client); err == nil {
		t.Fatal("a port that nobody serves answered the time")
	}
}
