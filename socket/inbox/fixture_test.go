package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/kafka/kafkatest"
	"github.com/tidegate/tidegate/internal/record"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/inbox"
	"github.com/tidegate/tidegate/socket/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, kafkatest.Background()) }

const (
	shards  = 4
	window  = time.Minute
	patient = 20 * time.Second
)

// node is one node's outbox and inbox, and what it heard.
type node struct {
	*inbox.Inbox
	box *outbox.Outbox

	mu       sync.Mutex
	sessions []string
	ended    []*inbox.Subscription
	changed  chan struct{}
}

func start(tb testing.TB, fake *kafkatest.Fake, name string, change func(*inbox.Config)) *node {
	tb.Helper()
	quiet := slog.New(slog.DiscardHandler)
	box, err := outbox.New(outbox.Config{Kafka: fake.Options, Topic: fake.Inbox.Topic, Timeout: 2 * time.Second, Logger: quiet})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(box.Close)
	n := &node{box: box, changed: make(chan struct{}, 1)}
	config := inbox.Config{
		Kafka: fake.Options, Topic: fake.Inbox.Topic, Shards: fake.Inbox.Shards, Window: window,
		Node: fleet.NodeID(name), Writer: box, Events: n, Logger: quiet,
	}
	if change != nil {
		change(&config)
	}
	if n.Inbox, err = inbox.New(config); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(n.Close)
	return n
}

func (n *node) SessionStarted(_ shard.ID, s record.Session, _ int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sessions = append(n.sessions, fmt.Sprintf("%s/%d", s.Client, s.Epoch))
}

func (n *node) ReadyChanged() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

func (n *node) ShardStopped(_ shard.ID, ended []*inbox.Subscription) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = append(n.ended, ended...)
}

func (n *node) heard() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.sessions)
}

func (n *node) lost() []*inbox.Subscription {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.ended)
}

// serve serves shards and waits until all are ready.
func (n *node) serve(tb testing.TB, ids ...shard.ID) {
	tb.Helper()
	set := map[shard.ID]struct{}{}
	for _, id := range ids {
		set[id] = struct{}{}
	}
	n.Serve(set)
	eventually(tb, "every shard is ready", func() bool {
		return !slices.ContainsFunc(ids, func(id shard.ID) bool { return !n.Ready(id) })
	})
}

func every() []shard.ID {
	ids := make([]shard.ID, shards)
	for i := range ids {
		ids[i] = shard.ID(i)
	}
	return ids
}

func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patient)
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline:
			tb.Fatalf("it never came about that %s", what)
		}
	}
}

// message writes one message and returns its offset.
func (n *node) message(tb testing.TB, to, id string) int64 {
	tb.Helper()
	value, err := record.Message{From: "sender", ID: id, To: to, Payload: []byte(`"` + id + `"`)}.Append(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return n.write(tb, to, value)
}

func (n *node) write(tb testing.TB, to string, value []byte) int64 {
	tb.Helper()
	receipt, err := n.box.Produce(tb.Context(), shard.Of(to, shards), to, value)
	if err != nil {
		tb.Fatal(err)
	}
	return receipt.Offset
}

// app is a client's receiver.
type app struct {
	mu   sync.Mutex
	got  []inbox.Message
	busy bool
	hook func(inbox.Message)
	torn bool
}

func (a *app) Deliver(m inbox.Message) {
	a.mu.Lock()
	a.torn = a.torn || a.busy || len(a.got) > 0 && a.got[len(a.got)-1].Offset >= m.Offset
	a.busy = true
	a.got = append(a.got, m)
	hook := a.hook
	a.mu.Unlock()
	if hook != nil {
		hook(m)
	}
	a.mu.Lock()
	a.busy = false
	a.mu.Unlock()
}

// pacedApp says how much room it has.
type pacedApp struct {
	app
	room func() int
}

func (a *pacedApp) Room() int { return a.room() }

func (a *app) ids() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	ids := make([]string, 0, len(a.got))
	for _, m := range a.got {
		ids = append(ids, m.ID)
	}
	return ids
}

func (a *app) gets(tb testing.TB, want ...string) {
	tb.Helper()
	eventually(tb, fmt.Sprintf("%d messages arrive", len(want)), func() bool { return len(a.ids()) >= len(want) })
	if got := a.ids(); !slices.Equal(got, want) {
		tb.Fatalf("the client got %q: want %q", got, want)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.torn {
		tb.Fatal("messages came at once or out of order")
	}
}

// attach subscribes and begins.
func (n *node) attach(tb testing.TB, client string, from int64, to inbox.Receiver) (*inbox.Subscription, inbox.Start) {
	tb.Helper()
	sub, begins, err := n.Attach(client, from, to)
	if err != nil {
		tb.Fatal(err)
	}
	sub.Begin()
	return sub, begins
}

func numbered(prefix string, from, to int) []string {
	var ids []string
	for i := from; i <= to; i++ {
		ids = append(ids, fmt.Sprint(prefix, i))
	}
	return ids
}

// failing is a writer without a Kafka.
type failing struct{}

func (failing) Produce(context.Context, shard.ID, string, []byte) (outbox.Receipt, error) {
	return outbox.Receipt{}, errors.New("kafka is away")
}
