package balancer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tidegate/tidegate/balancer"
	"github.com/tidegate/tidegate/balancer/lead"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/beat"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fenced"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/redisconn"
	"github.com/tidegate/tidegate/internal/token"
)

var chat = fleet.ID{Namespace: "shop", Name: "chat"}

func TestTakenPortNamesTheFlagAndTheFix(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, flag := range []string{"--balancer-listen", "--balancer-admin-listen"} {
		o, err := parse(t, "--dev", "--no-audit", "--balancer-listen=127.0.0.1:0", "--balancer-admin-listen=127.0.0.1:0", flag+"="+taken.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		err = balancer.Run(t.Context(), o, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), flag) || !strings.Contains(err.Error(), taken.Addr().String()) || !strings.Contains(err.Error(), "another port") {
			t.Errorf("%s is taken: %v, want the flag, the address and the fix", flag, err)
		}
	}
}

// lines is a log that several goroutines write.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	late := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-late:
			t.Fatalf("not within 20 s: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// addresses are those that a log says are served.
func addresses(log *lines) map[string]string {
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`whom=(\w+) addr=(\S+)`).FindAllStringSubmatch(log.String(), -1) {
		found[m[1]] = "http://" + m[2]
	}
	return found
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}

func TestProcessServesDecidesAndStops(t *testing.T) {
	server := miniredis.RunT(t)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	o, err := parse(t, "--dev", "--balancer-listen=127.0.0.1:0", "--balancer-admin-listen=127.0.0.1:0", "--balancer-interval=50ms",
		"--redis-addr="+server.Addr(), "--kafka-broker="+cluster.ListenAddrs()[0], "--shards=16", "--balancer-id=one",
		"--policy-file="+policyFile(t, `{"heartbeatInterval": "200ms"}`))
	if err != nil {
		t.Fatal(err)
	}
	log := &lines{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- balancer.Run(ctx, o, slog.New(slog.NewTextHandler(log, nil))) }()
	client := connect(t, server)
	keepSpeaking(t, client)
	eventually(t, "both servers listen", func() bool { return len(addresses(log)) == 2 })
	public, admin := addresses(log)["clients"], addresses(log)["operators"]
	eventually(t, "a client is resolved", func() bool {
		status, body := fetch(t, public+keys.PathResolve+"?clientId=anna")
		return status == http.StatusOK && strings.Contains(body, `"node":"chat-0"`)
	})
	for target, want := range map[string]string{
		admin + keys.PathHealth:                        "",
		admin + keys.PathReady:                         "",
		admin + keys.PathMetrics:                       "tidegate_balancer_leader 1",
		admin + keys.PathVictims + "?fleet=shop/chat":  "chat-0",
		admin + keys.PathDecision + "?fleet=shop/chat": `"desired":2`,
		public + "/":                                   "<html",
		public + "/api/v1/status":                      `"leader":"one_`,
		public + "/api/v1/history":                     "shop/chat",
	} {
		if status, body := fetch(t, target); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s answers %d %.300s, want %q", target, status, body, want)
		}
	}
	if status, _ := fetch(t, public+keys.PathMetrics); status != http.StatusNotFound {
		t.Errorf("the public side serves metrics: %d", status)
	}
	// An open event stream must not hold the process up.
	stream, err := http.NewRequestWithContext(t.Context(), http.MethodGet, public+"/api/v1/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(stream)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
	if lease := server.HGet(keys.LeaderLease, "holder"); lease != "" {
		t.Errorf("the lease is still held by %q: the next leader would have to wait", lease)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the event stream ended with %v", err)
	}
}

func connect(t *testing.T, server *miniredis.Miniredis) redis.UniversalClient {
	t.Helper()
	client, err := redisconn.Open(redisconn.Options{Addrs: []string{server.Addr()}, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// keepSpeaking sends heartbeats of the only node until the test ends.
func keepSpeaking(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for sequence := uint64(1); ctx.Err() == nil; sequence++ {
			h := load.Heartbeat{
				Version: load.Version, Fleet: chat, Node: "chat-0", Incarnation: 1, Sequence: sequence, State: fleet.Serving,
				URL: "ws://chat-0", AdminURL: "http://127.0.0.1:1", Connections: 5,
			}
			if _, err := beat.Send(ctx, client, h); err != nil && ctx.Err() == nil {
				t.Errorf("heartbeat: %v", err)
			}
			select {
			case <-ctx.Done():
			case <-ticker.C:
			}
		}
	}()
}

func TestReplicaTakesOverFromAKilledLeader(t *testing.T) {
	server := miniredis.RunT(t)
	const ttl = 400 * time.Millisecond
	quick := policy.Default()
	quick.HeartbeatInterval = 200 * time.Millisecond
	start := func(id string) (stop func(), client redis.UniversalClient) {
		client = connect(t, server)
		logger := slog.New(slog.DiscardHandler)
		b := balancer.New(balancer.Deps{
			Redis: client, Elector: lead.NewRedis(client, id, ttl, logger), Verifier: token.NewDev(nil),
			Policies: func(fleet.ID) policy.Policy { return quick },
			Shards:   16, Interval: 20 * time.Millisecond, Probe: func(context.Context, string) error { return nil }, Logger: logger,
		})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("run of %s: %v", id, err)
			}
		}, client
	}
	watch := connect(t, server)
	cell := fenced.NewCell(watch, keys.Decision(chat), 5*time.Second)
	decided := func(above uint64) decision.Decision {
		var d decision.Decision
		eventually(t, "a decision of a newer term", func() bool {
			reading, err := cell.Read(t.Context())
			if err != nil || !reading.Found {
				return false
			}
			d, err = decision.Decode(reading.Body)
			return err == nil && d.Fence > above
		})
		return d
	}
	keepSpeaking(t, watch)
	stopFirst, firstClient := start("first")
	before := decided(0)
	stopSecond, _ := start("second")
	// Killed, as far as Redis can tell: it says nothing any more and releases nothing.
	_ = firstClient.Close()
	after := decided(before.Fence)
	if after.Sequence != before.Sequence || after.Desired != before.Desired {
		t.Errorf("decision %+v after %+v: a change of leaders must not look like a decision", after, before)
	}
	stopFirst()
	stopSecond()
}

// An API server that answers nothing useful keeps decisions away, and nothing else.
func TestProcessServesWhileTheAPIServerIsAway(t *testing.T) {
	api := httptest.NewServer(http.NotFoundHandler())
	defer api.Close()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],` +
		`"clusters":[{"name":"x","cluster":{"server":"` + api.URL + `"}}],"users":[{"name":"x","user":{}}]}`
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := miniredis.RunT(t)
	o, err := parse(t, "--dev", "--no-audit", "--balancer-listen=127.0.0.1:0", "--balancer-admin-listen=127.0.0.1:0", "--balancer-interval=50ms",
		"--redis-addr="+server.Addr(), "--shards=16", "--policy-file="+policyFile(t, `{"heartbeatInterval": "200ms"}`),
		"--kubernetes", "--fleet-namespaces=shop", "--kubeconfig="+kubeconfig, "--pprof")
	if err != nil {
		t.Fatal(err)
	}
	log := &lines{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- balancer.Run(ctx, o, slog.New(slog.NewTextHandler(log, nil))) }()
	keepSpeaking(t, connect(t, server))
	eventually(t, "both servers listen", func() bool { return len(addresses(log)) == 2 })
	public, admin := addresses(log)["clients"], addresses(log)["operators"]
	eventually(t, "a client is resolved", func() bool {
		status, body := fetch(t, public+keys.PathResolve+"?clientId=anna")
		return status == http.StatusOK && strings.Contains(body, `"node":"chat-0"`)
	})
	if status, body := fetch(t, admin+keys.PathDecision+"?fleet=shop/chat"); status != http.StatusNotFound {
		t.Errorf("decision answers %d %s, want none: the fleet's limits are not known", status, body)
	}
	if status, body := fetch(t, admin+"/debug/pprof/cmdline"); status != http.StatusOK {
		t.Errorf("profiles answer %d %s", status, body)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
}
