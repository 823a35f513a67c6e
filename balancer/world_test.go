package balancer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/balancer/lead"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/beat"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fenced"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/redisconn"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/internal/token"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(
		m,
		// klog, which client-go's election brings, flushes from a goroutine that lives as long as the process.
		goleak.IgnoreTopFunction("k8s.io/klog/v2.(*flushDaemon).run.func1"),
		// sarama's metrics meter their rates on one goroutine that lives as long as the process.
		goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"),
	)
}

const (
	shards  = 32
	timeout = 5 * time.Second
)

var (
	chat = fleet.ID{Namespace: "shop", Name: "chat"}
	// born is the server's clock at the start of every story: far from any local clock.
	born = time.UnixMilli(1_900_000_000_000)
)

// world is a Redis with a clock of its own and the nodes of one fleet.
type world struct {
	t      *testing.T
	server *miniredis.Miniredis
	client redis.UniversalClient
	now    time.Time
	nodes  map[fleet.NodeID]*node
	policy policy.Policy
	later  []func() // what close undoes, the last first

	mu   sync.Mutex
	dead map[string]bool // admin URLs that do not answer
}

// node stands for a socket process: it acts on the table in Redis and says so.
type node struct {
	id          fleet.NodeID
	state       fleet.State
	sequence    uint64
	incarnation int64
	connections int
	silent      bool
	// shape changes what the node says of its load; nil changes nothing.
	shape func(*load.Heartbeat)
}

func newWorld(t *testing.T, nodes ...fleet.NodeID) *world {
	t.Helper()
	w := &world{t: t, server: miniredis.NewMiniRedis(), now: born, nodes: map[fleet.NodeID]*node{}, dead: map[string]bool{}, policy: policy.Default()}
	// The crowds of these tests come and go at will: no outage.
	w.policy.ConnectionsPerPod, w.policy.Storm.Guard = 1000, false
	if err := w.server.Start(); err != nil {
		t.Fatal(err)
	}
	w.later = append(w.later, w.server.Close)
	t.Cleanup(w.close)
	w.server.SetTime(w.now)
	w.client = w.connect()
	for _, id := range nodes {
		w.join(id)
	}
	return w
}

// close ends everything; a second time it does nothing.
func (w *world) close() {
	for i := len(w.later) - 1; i >= 0; i-- {
		w.later[i]()
	}
	w.later = nil
}

func (w *world) connect() redis.UniversalClient {
	w.t.Helper()
	client, err := redisconn.Open(redisconn.Options{Addrs: []string{w.server.Addr()}, Timeout: timeout})
	if err != nil {
		w.t.Fatal(err)
	}
	w.later = append(w.later, func() { _ = client.Close() })
	return client
}

func (w *world) join(id fleet.NodeID) *node {
	n := &node{id: id, state: fleet.Starting, incarnation: 1, connections: 100}
	w.nodes[id] = n
	return n
}

// kill ends a node without a word.
func (w *world) kill(id fleet.NodeID) {
	delete(w.nodes, id)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead[adminURL(id)] = true
}

func adminURL(id fleet.NodeID) string { return "http://" + string(id) + ":9090" }

func (w *world) probe(_ context.Context, url string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead[url] {
		return errors.New("connection refused")
	}
	return nil
}

// pass lets a second go by: the clock moves, then every node that speaks sends a heartbeat.
func (w *world) pass() {
	w.t.Helper()
	w.now = w.now.Add(time.Second)
	w.server.SetTime(w.now)
	table := w.table()
	for _, n := range w.nodes {
		if n.silent {
			continue
		}
		if _, err := beat.Send(w.t.Context(), w.client, n.speak(table)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// speak is the node's next heartbeat: it has warmed up all that the table gives it.
func (n *node) speak(table *shard.Table) load.Heartbeat {
	n.sequence++
	h := load.Heartbeat{
		Version: load.Version, Fleet: chat, Node: n.id, Incarnation: n.incarnation, Sequence: n.sequence,
		URL: "ws://" + string(n.id), AdminURL: adminURL(n.id), CPU: 0.05 + 0.0002*float64(n.connections), Memory: 0.1 + 0.0001*float64(n.connections),
		Connections: n.connections, Uptime: time.Duration(n.sequence) * time.Second,
	}
	if table != nil {
		h.TableVersion, h.Fence = table.Version, table.Fence
		for i, row := range table.Rows {
			if row.Owner == n.id || row.Next == n.id {
				h.Shards = append(h.Shards, load.Shard{ID: shard.ID(i), Ready: true})
			}
			if row.Owner == n.id && n.state == fleet.Starting {
				n.state = fleet.Serving
			}
		}
	}
	h.State = n.state
	if n.shape != nil {
		n.shape(&h)
	}
	return h
}

func (w *world) read(key string) fenced.Reading {
	w.t.Helper()
	reading, err := fenced.NewCell(w.client, key, timeout).Read(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return reading
}

// table is the one in Redis, nil before there is one.
func (w *world) table() *shard.Table {
	w.t.Helper()
	reading := w.read(keys.Table(chat))
	if !reading.Found {
		return nil
	}
	table, err := shard.Decode(reading.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return table
}

// decision is the one in Redis.
func (w *world) decision() decision.Decision {
	w.t.Helper()
	reading := w.read(keys.Decision(chat))
	if !reading.Found {
		w.t.Fatal("Redis holds no decision")
	}
	d, err := decision.Decode(reading.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// owned counts the shards of each owner, and how many move.
func owned(table *shard.Table) (owners map[fleet.NodeID]int, moving int) {
	owners = map[fleet.NodeID]int{}
	for _, row := range table.Rows {
		owners[row.Owner]++
		if row.Next != "" {
			moving++
		}
	}
	return owners, moving
}

// replica is a balancer whose ticks and terms the test decides.
type replica struct {
	*Balancer
	w       *world
	audit   *record
	log     *lockedLog
	leave   context.CancelFunc
	left    chan struct{}
	elector *namedElector
}

// record keeps what is audited.
type record struct {
	mu   sync.Mutex
	list []decision.Decision
}

func (r *record) Record(d decision.Decision) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, d)
}

func (r *record) sequences() []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []uint64
	for _, d := range r.list {
		out = append(out, d.Sequence)
	}
	return out
}

type lockedLog struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// namedElector never elects: the test calls lead itself.
type namedElector struct{ leader string }

func (e *namedElector) Run(ctx context.Context, _ func(context.Context, lead.Term)) error {
	<-ctx.Done()
	return nil
}

func (e *namedElector) Leader() string { return e.leader }

func (w *world) replica(change ...func(*Deps)) *replica {
	w.t.Helper()
	r := &replica{w: w, audit: &record{}, log: &lockedLog{}, elector: &namedElector{leader: "a"}}
	d := Deps{
		Redis: w.connect(), Elector: r.elector, Verifier: token.NewDev(nil), Raw: token.Options{Dev: true}.Raw,
		Audit: r.audit, Probe: w.probe, Shards: shards, Timeout: timeout, Logger: slog.New(slog.NewTextHandler(r.log, nil)),
		Policies: func(fleet.ID) policy.Policy { return w.policy },
	}
	for _, c := range change {
		c(&d)
	}
	r.Balancer = New(d)
	w.later = append(w.later, func() {
		r.resign()
		r.stop()
		r.tables.Wait()
		r.decisions.Wait()
	})
	return r
}

// elect begins a term.
func (r *replica) elect(fence uint64) {
	r.w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r.leave, r.left = cancel, make(chan struct{})
	left := r.left
	go func() {
		defer close(left)
		r.lead(ctx, lead.Term{Fence: fence})
	}()
	<-r.wake // the term has begun
}

// resign ends the term, as a lost lease does, and waits until it is over.
func (r *replica) resign() {
	if r.leave == nil {
		return
	}
	r.leave()
	<-r.left
	r.leave = nil
}

// leads reports whether the term still runs.
func (r *replica) leads() bool { return r.office.Load() != nil }

// tick works on what is in Redis now; its feeds have heard of everything.
func (r *replica) tick() {
	r.w.t.Helper()
	r.refresh()
	r.Tick(r.w.t.Context())
	r.refresh()
}

// refresh lets the feeds read now, where Redis answers.
func (r *replica) refresh() {
	_ = r.tables.Of(chat).Refresh(r.w.t.Context())
	_ = r.decisions.Of(chat).Refresh(r.w.t.Context())
}

// run lets seconds pass, each with a tick of every replica.
func (w *world) run(seconds int, replicas ...*replica) {
	w.t.Helper()
	for range seconds {
		w.pass()
		for _, r := range replicas {
			r.tick()
		}
	}
}

// get asks one of the replica's handlers.
func get(t *testing.T, h http.Handler, target string) (status int, body string) {
	t.Helper()
	response := httptest.NewRecorder()
	h.ServeHTTP(response, httptest.NewRequest(http.MethodGet, target, nil))
	return response.Code, response.Body.String()
}

// metric reads one sample of the replica's metrics page.
func (r *replica) metric(sample string) string {
	r.w.t.Helper()
	_, body := get(r.w.t, r.Admin(), keys.PathMetrics)
	for line := range strings.Lines(body) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), sample+" "); found {
			return value
		}
	}
	return ""
}

func ids(n int) []fleet.NodeID {
	var out []fleet.NodeID
	for i := range n {
		out = append(out, fleet.NodeID(fmt.Sprintf("chat-%d", i)))
	}
	slices.Sort(out)
	return out
}
