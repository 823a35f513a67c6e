package delivery_test

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/kafka/kafkatest"
	"github.com/tidegate/tidegate/internal/ledger"
	"github.com/tidegate/tidegate/internal/record"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/inbox"
	"github.com/tidegate/tidegate/socket/outbox"
)

const (
	shards = 3
	window = time.Minute
	// settle is how long the world may take to come to rest once every fault is gone.
	settle = 30 * time.Second
)

// world is a fleet over one Kafka, and its clients.
type world struct {
	kafka   *kfake.Cluster
	options kafka.Options
	inbox   kafka.Inbox
	books   *ledger.Ledger
	nodes   []*node
	clients []*client
	born    int
	// gone waits for the nodes that were killed: their writes may still reach the log, as a dead node's may.
	gone   sync.WaitGroup
	faults []*kfake.FaultHandle
}

// node is one node: what a socket node is made of, without sockets.
type node struct {
	inbox *inbox.Inbox
	box   *outbox.Outbox
	mu    sync.Mutex
	links []*link
}

func (n *node) SessionStarted(shard.ID, record.Session, int64) {}
func (n *node) ReadyChanged()                                  {}

// ShardStopped implements inbox.Events: the node closes the connections.
func (n *node) ShardStopped(_ shard.ID, ended []*inbox.Subscription) {
	for _, sub := range ended {
		sub.Receiver().(*link).cut()
	}
}

func (n *node) hold(l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links = append(n.links, l)
}

func (n *node) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.links {
		l.cut()
	}
	n.links = nil
}

func newWorld(t *rapid.T) *world {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2))
	if err != nil {
		t.Fatalf("start kfake: %v", err)
	}
	w := &world{kafka: cluster, options: kafka.At(cluster.ListenAddrs()...), books: ledger.New()}
	w.options.Timeout = time.Second
	if w.inbox, _, err = kafka.EnsureInbox(t.Context(), w.options, kafkatest.Fleet(), kafka.InboxSpec{Shards: shards, Window: window}); err != nil {
		t.Fatalf("make an inbox: %v", err)
	}
	for i := range 4 {
		w.clients = append(w.clients, newClient(fmt.Sprint("client", i), w.books))
	}
	return w
}

func (w *world) close() {
	for _, n := range w.nodes {
		w.kill(n)
	}
	w.gone.Wait()
	w.kafka.Close()
}

// bear starts a node. Small bounds make the log and the overflow a part of the story.
func (w *world) bear(t *rapid.T) *node {
	quiet := slog.New(slog.DiscardHandler)
	w.born++
	n := &node{}
	var err error
	n.box, err = outbox.New(outbox.Config{
		Kafka: w.options, Topic: w.inbox.Topic, Timeout: 400 * time.Millisecond,
		MaxPerSender: rapid.SampledFrom([]int{2, 256}).Draw(t, "waiting for each sender"), Logger: quiet,
	})
	if err != nil {
		t.Fatalf("make an outbox: %v", err)
	}
	n.inbox, err = inbox.New(inbox.Config{
		Kafka: w.options, Topic: w.inbox.Topic, Shards: shards, Window: window, Node: fleet.NodeID(fmt.Sprint("node-", w.born)),
		Writer: n.box, Events: n, MaxBytes: rapid.SampledFrom([]int64{300, 1 << 20}).Draw(t, "bytes in memory"), Logger: quiet,
	})
	if err != nil {
		t.Fatalf("make an inbox: %v", err)
	}
	w.nodes = append(w.nodes, n)
	return n
}

// begin starts two nodes that serve everything, and brings every client to one of them.
func (w *world) begin(t *rapid.T) {
	for range 2 {
		w.bear(t).inbox.Serve(all())
	}
	deadline := time.After(settle)
	for i, c := range w.clients {
		for n := w.nodes[i%2]; !c.connected(); {
			if _, fault := c.connect(n); fault != "" {
				t.Fatalf("%s", fault)
			}
			select {
			case <-deadline:
				t.Fatalf("a node was never ready")
			case <-time.After(time.Millisecond):
			}
		}
	}
}

func all() map[shard.ID]struct{} {
	set := map[shard.ID]struct{}{}
	for id := range shard.ID(shards) {
		set[id] = struct{}{}
	}
	return set
}

// kill ends a node as kill -9 does: its connections break, and nobody hears of what it had under way.
func (w *world) kill(n *node) {
	n.cut()
	w.gone.Go(func() {
		n.inbox.Close()
		n.box.Close()
	})
}

// fail lets the next requests of a kind fail.
func (w *world) fail(t *rapid.T) {
	fault := rapid.SampledFrom([]kfake.Fault{
		{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.MessageTooLarge, Count: 1},        // refused, not written
		{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: 2},        // written, and sarama's retry finds out
		{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: 8},        // written, and nobody finds out
		{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: 3},    // read again elsewhere
		{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.UnknownServerError, Count: 3},       // read again here
		{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.UnknownServerError, Count: 3}, // a warm-up tries again
	}).Draw(t, "fault")
	w.faults = append(w.faults, w.kafka.Fault(fault))
}

func (w *world) heal() {
	for _, f := range w.faults {
		f.Remove()
	}
}

// verify judges every connection by itself.
func (w *world) verify(t *rapid.T) {
	for _, c := range w.clients {
		if c.link == nil {
			continue
		}
		if _, fault := c.link.state(); fault != "" {
			t.Fatalf("%s", fault)
		}
	}
	if report := w.books.Report(); report.Inversions+report.Duplicates+report.Strange > 0 {
		t.Fatalf("the ledger says: %s", report)
	}
}

// rest brings the world to rest: faults end, one node serves everything, every client comes and sends what was not
// accepted. Then all that was accepted must have arrived.
func (w *world) rest(t *rapid.T) {
	w.heal()
	last := w.bear(t)
	last.inbox.Serve(all())
	deadline := time.After(settle)
	for {
		quiet := true
		for _, c := range w.clients {
			quiet = w.settle(t, c, last) && quiet
		}
		if report := w.books.Report(); quiet && report.Missing == 0 {
			w.verify(t)
			if report.Accepted != report.Sent {
				t.Fatalf("nothing waits, but: %s", report)
			}
			return
		}
		select {
		case <-deadline:
			t.Fatalf("the world never came to rest: %s", w.books.Report())
		case <-time.After(time.Millisecond):
		}
	}
}

// settle lets one client do all it can do, and says whether nothing of it waits any more.
func (w *world) settle(t *rapid.T, c *client, n *node) bool {
	if !c.connected() || c.link.node != n {
		if _, fault := c.connect(n); fault != "" {
			t.Fatalf("%s", fault)
		}
	}
	for c.read() {
	}
	c.repeat()
	for c.connected() && len(c.link.up) > 0 {
		c.arrive(false)
	}
	return c.connected() && len(c.pending) == 0
}
