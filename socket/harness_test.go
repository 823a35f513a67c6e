package socket

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/internal/fenced"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/kafka/kafkatest"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/redisconn"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/internal/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, kafkatest.Background()) }

const (
	shards = 8
	// patience bounds every wait of a test; a wait ends as soon as what it waits for is there.
	patience = 20 * time.Second
)

// world is a fleet in one process: a Redis, a Kafka, and a table that the test writes by hand.
type world struct {
	t     *testing.T
	redis *miniredis.Miniredis
	kafka *kafkatest.Fake
	cell  fenced.Cell
	keys  string

	table *shard.Table
	nodes map[fleet.NodeID]*running
}

// running is a node that runs.
type running struct {
	*server
	stopIt context.CancelFunc
	ended  chan error
	public *cutter
	redis  *proxy
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, redis: miniredis.RunT(t), kafka: kafkatest.Start(t, 1, shards, 5*time.Minute), nodes: map[fleet.NodeID]*running{},
		keys: filepath.Join(t.TempDir(), "ring"),
	}
	if err := os.WriteFile(w.keys, []byte(token.NewKeyLine("k1")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := redisconn.Open(redisconn.Options{Addrs: []string{w.redis.Addr()}, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	w.cell = fenced.NewCell(client, keys.Table(kafkatest.Fleet()), 5*time.Second)
	w.table = &shard.Table{Fleet: kafkatest.Fleet(), Fence: 1, Rows: make([]shard.Row, shards), Nodes: map[fleet.NodeID]shard.Node{}}
	w.mark(time.Hour)
	return w
}

// mark says that this Redis has known the fleet's sessions for a while.
func (w *world) mark(age time.Duration) {
	if err := w.redis.Set(keys.Marker(kafkatest.Fleet()), strconv.FormatInt(time.Now().Add(-age).UnixMilli(), 10)); err != nil {
		w.t.Fatal(err)
	}
}

// options are a node's settings as its flags give them.
func (w *world) options(name string, extra ...string) Options {
	w.t.Helper()
	args := append([]string{
		"--fleet=" + kafkatest.Fleet().String(), "--node=" + name, "--addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0",
		"--redis-addr=" + w.redis.Addr(), "--kafka-broker=" + w.kafka.Options.Brokers[0], "--kafka-timeout=1s",
		"--resume-key-file=" + w.keys, "--shards=" + strconv.Itoa(shards), "--heartbeat-interval=100ms",
		"--drain-patience=200ms", "--drain-rate=1000", "--move-longest=0s", "--shutdown-timeout=5s", "--ws-close-timeout=500ms", "--ws-write-timeout=1s",
		"--drain-nonce=secret",
	}, extra...)
	if !contains(extra, "--jwt-secret-file") {
		args = append(args, "--dev")
	}
	return parse(w.t, args...)
}

func contains(args []string, flag string) bool {
	for _, arg := range args {
		if len(arg) >= len(flag) && arg[:len(flag)] == flag {
			return true
		}
	}
	return false
}

func parse(t *testing.T, args ...string) Options {
	t.Helper()
	var o Options
	parser, err := kong.New(&o, kong.Exit(func(int) { t.Fatal("kong exits") }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	return o
}

// start runs a node and makes it a member of the table.
func (w *world) start(name string, extra ...string) *running {
	w.t.Helper()
	r := &running{ended: make(chan error, 1)}
	r.redis = newProxy(w.t, w.redis.Addr())
	o := w.options(name, append([]string{"--redis-addr=" + r.redis.addr()}, extra...)...)
	o.Redis.Addrs = []string{r.redis.addr()}
	logger := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	s, err := open(w.t.Context(), o, logger)
	if err != nil {
		w.t.Fatal(err)
	}
	r.server, r.public = s, &cutter{Listener: s.public}
	s.public = r.public
	ctx, stop := context.WithCancel(context.Background())
	r.stopIt = stop
	go func() { r.ended <- s.run(ctx) }()
	w.t.Cleanup(func() { r.stop(w.t) })
	w.nodes[s.id] = r
	w.table.Nodes[s.id] = shard.Node{URL: r.url(), State: fleet.Serving}
	return r
}

func (r *running) url() string { return "ws://" + r.public.Addr().String() + protocol.ConnectPath }

func (r *running) adminURL(path string) string { return "http://" + r.private.Addr().String() + path }

// stop ends a node as SIGTERM does.
func (r *running) stop(t *testing.T) {
	t.Helper()
	r.stopIt()
	select {
	case err := <-r.ended:
		r.ended <- nil
		if err != nil {
			t.Errorf("the node ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("the node did not stop")
	}
}

// kill cuts a node from its clients and from Redis at once, as SIGKILL does; what is left of it ends unseen.
func (r *running) kill() {
	r.redis.cut()
	r.public.cut()
	r.stopIt()
}

// own gives every shard to the node and waits until it can deliver.
func (w *world) own(r *running) {
	w.t.Helper()
	w.write(func(row *shard.Row) { row.Owner, row.Next = r.id, "" })
	w.ready(r)
}

// ready waits until the node has read every shard.
func (w *world) ready(r *running) {
	w.t.Helper()
	eventually(w.t, "the shards are ready on "+string(r.id), func() bool {
		for i := range shards {
			if !r.inbox.Ready(shard.ID(i)) {
				return false
			}
		}
		return true
	})
}

// write changes every row and stores the table.
func (w *world) write(change func(*shard.Row)) {
	w.t.Helper()
	w.table = w.table.Clone()
	w.table.Version++
	for i := range w.table.Rows {
		change(&w.table.Rows[i])
		w.table.Rows[i].Version = w.table.Version
	}
	body, err := w.table.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.cell.Write(w.t.Context(), w.table.Fence, w.table.Version, body); err != nil {
		w.t.Fatal(err)
	}
}

// seen waits until a node acts on the newest table.
func (w *world) seen(r *running) {
	w.t.Helper()
	eventually(w.t, "the node sees the table", func() bool {
		t, _, ok := r.table.Latest()
		return ok && t.Version >= w.table.Version
	})
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	until := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(until) {
			t.Fatalf("after %s still not: %s", patience, what)
		}
		<-ticker.C
	}
}

func get(t *testing.T, method, address string, header http.Header) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Do(request)
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

func testLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }

func contextUntil(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return ctx, cancel
}
