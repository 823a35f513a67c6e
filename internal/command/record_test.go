package command_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tidegate/tidegate/balancer"
	"github.com/tidegate/tidegate/balancer/audit"
	"github.com/tidegate/tidegate/balancer/lead"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/beat"
	"github.com/tidegate/tidegate/internal/command"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/token"
)

var chat = fleet.ID{Namespace: "shop", Name: "chat"}

const (
	// beatEvery and the quick policy make seconds of minutes.
	beatEvery   = 50 * time.Millisecond
	quickPolicy = `{"heartbeatInterval": "50ms", "staleHeartbeats": 20}`
)

// town is a running fleet: a Redis, a balancer that leads, and nodes that send heartbeats.
type town struct {
	redis *miniredis.Miniredis
	file  string
}

func newTown(t *testing.T, nodes int) *town {
	t.Helper()
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	p, err := policy.Load(strings.NewReader(quickPolicy), policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	b := balancer.New(balancer.Deps{
		Redis: client, Elector: lead.NewRedis(client, "a", time.Second, discard()), Verifier: token.NewDev(nil),
		Policies: func(fleet.ID) policy.Policy { return p }, Shards: 8, Interval: beatEvery, Logger: discard(),
		Probe: func(context.Context, string) error { return nil },
	})
	ctx, stop := context.WithCancel(context.Background())
	// The first decision is made of all nodes, however busy this machine is.
	beatOnce(ctx, client, nodes, 1)
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		beats(ctx, client, nodes)
	}()
	t.Cleanup(func() {
		stop()
		<-beating
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = client.Close()
	})
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(quickPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	return &town{redis: server, file: file}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// beats lets so many nodes, which are at 0.50 CPU, speak until ctx ends.
func beats(ctx context.Context, client redis.UniversalClient, nodes int) {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for sequence := uint64(2); ctx.Err() == nil; sequence++ {
		beatOnce(ctx, client, nodes, sequence)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

func beatOnce(ctx context.Context, client redis.UniversalClient, nodes int, sequence uint64) {
	for i := range nodes {
		_, _ = beat.Send(ctx, client, load.Heartbeat{
			Version: load.Version, Fleet: chat, Node: fleet.NodeID(fmt.Sprintf("chat-%d", i)), Incarnation: 1, Sequence: sequence,
			State: fleet.Serving, URL: "ws://10.0.0.1:8080", AdminURL: "http://10.0.0.1:9090", CPU: 0.5, Memory: 0.3, Connections: 1000, Uptime: time.Hour,
		})
	}
}

func tidegate(ctx context.Context, args ...string) (code int, out, errOut string) {
	var stdout, stderr bytes.Buffer
	code = command.Run(ctx, args, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

var thisPolicy = regexp.MustCompile(`this policy +│ +[0-9.]+ │ +\d+ │ +(\d+)`)

// peak is the largest count that a replay asks for.
func peak(t *testing.T, file string, set ...string) string {
	t.Helper()
	args := []string{"backtest", "--recording", file}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	code, out, errOut := tidegate(t.Context(), args...)
	found := thisPolicy.FindStringSubmatch(out)
	if code != 0 || found == nil {
		t.Fatalf("exit %d: %s\n%s", code, errOut, out)
	}
	return found[1]
}

// A user records a running fleet, and tries out what another ceiling would have asked for.
func TestARunningFleetIsRecordedAndReplayedUnderAnotherPolicy(t *testing.T) {
	world := newTown(t, 8)
	file := filepath.Join(t.TempDir(), "chat.tgr")
	args := []string{"record", "--fleet", "shop/chat", "--out", file, "--for", "3s", "--every", "50ms", "--redis-addr", world.redis.Addr(), "--policy-file", world.file}
	code, out, errOut := tidegate(t.Context(), args...)
	if code != 0 || !strings.Contains(out, "tidegate backtest --recording "+file) {
		t.Fatalf("exit %d: %s\n%s", code, errOut, out)
	}
	if same, tight := peak(t, file), peak(t, file, "cpuCeiling=0.3"); same != "8" || len(tight) < 2 {
		t.Errorf("eight nodes at 0.50 CPU ask for %s under 0.87 and for %s under 0.30: want 8, and well over it", same, tight)
	}
	if code, _, errOut := tidegate(t.Context(), args...); code != 2 || !strings.Contains(errOut, "not overwritten") {
		t.Errorf("a recording was overwritten: exit %d, %s", code, errOut)
	}
}

func TestAnInterruptedRecorderCompletesItsFile(t *testing.T) {
	world := newTown(t, 2)
	file := filepath.Join(t.TempDir(), "chat.tgr")
	ctx, interrupt := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer interrupt()
	code, out, errOut := tidegate(ctx, "record", "--fleet", "shop/chat", "--out", file, "--every", "50ms", "--redis-addr", world.redis.Addr(), "--policy-file", world.file)
	if code != 0 || !strings.Contains(out, "Recorded ") || !strings.Contains(errOut, "recorded") {
		t.Fatalf("exit %d: %s\n%s", code, errOut, out)
	}
	code, out, _ = tidegate(t.Context(), "backtest", "--recording", file)
	if code != 0 || strings.Contains(strings.ToLower(out), "ends early") {
		t.Errorf("exit %d: the file of an interrupted recorder is not complete:\n%s", code, out)
	}
}

func TestDecisionsOfTheAuditLogMakeARecording(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	broker := cluster.ListenAddrs()[0]
	log := audit.New(audit.Kafka(kafka.At(broker), false), prometheus.NewRegistry(), discard())
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		log.Run(ctx)
	}()
	began := time.Now().Add(-time.Hour)
	for i := range 4 {
		at := began.Add(time.Duration(i) * 10 * time.Minute)
		log.Record(decision.Decision{
			Fleet: chat, Sequence: uint64(i + 1), Desired: 4 + i, At: at, RefreshedAt: at, ExpiresAt: at.Add(90 * time.Second), Policy: "count", Mode: "act",
			Inputs: decision.Inputs{Serving: 4 + i, CPU: 0.5, Memory: 0.3, Connections: 4000},
		})
	}
	stop()
	<-ended
	file := filepath.Join(t.TempDir(), "chat.tgr")
	code, out, errOut := tidegate(t.Context(), "record", "--fleet", "shop/chat", "--out", file, "--from-audit", "--kafka-broker", broker)
	if code != 0 || !strings.Contains(out, "Recorded 121 readings") {
		t.Fatalf("exit %d: %s\n%s", code, errOut, out)
	}
	if code, out, _ := tidegate(t.Context(), "backtest", "--recording", file); code != 0 || !strings.Contains(out, "rebuilt from 4 decisions") {
		t.Errorf("exit %d, and nobody is told how coarse it is:\n%s", code, out)
	}
	empty := filepath.Join(t.TempDir(), "games.tgr")
	code, _, errOut = tidegate(t.Context(), "record", "--fleet", "shop/games", "--out", empty, "--from-audit", "--kafka-broker", broker)
	if _, err := os.Stat(empty); code != 1 || !strings.Contains(errOut, "no decision for shop/games") || err == nil {
		t.Errorf("exit %d, %s: want the fleet named, and no empty file", code, errOut)
	}
}

func TestARecorderThatCannotReadSaysWhatToChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "chat.tgr")
	server := miniredis.RunT(t)
	gone := server.Addr()
	server.Close()
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no Redis":        {[]string{"--redis-addr", gone}, 1, "shop/chat"},
		"too often":       {[]string{"--every", "1ms"}, 2, "--every is 1ms: give 50ms to 30s"},
		"backwards":       {[]string{"--for=-1s"}, 2, "--for is -1s"},
		"no such policy":  {[]string{"--policy-file", "/nowhere.json"}, 2, "--policy-file"},
		"no such folder":  {[]string{"--out", filepath.Join(file, "deeper")}, 2, "--out"},
		"since tomorrow":  {[]string{"--from-audit", "--since=-1h"}, 2, "--since is -1h"},
		"a strange fleet": {[]string{"--fleet", "chat"}, 2, "namespace/name"},
	} {
		args := append([]string{"record", "--fleet", "shop/chat", "--out", file}, test.args...)
		code, _, errOut := tidegate(t.Context(), args...)
		if code != test.code || !strings.Contains(errOut, test.want) {
			t.Errorf("%s: exit %d, want %d and %q:\n%s", name, code, test.code, test.want, errOut)
		}
		if _, err := os.Stat(file); err == nil {
			t.Errorf("%s: an empty file stays behind", name)
		}
	}
}
