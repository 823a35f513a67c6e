// Package delivery_test judges outbox and inbox together: rule 8 of the design over a real protocol to an in-process
// Kafka, with senders, moves, deaths, zombies, retries and resumes.
package delivery_test

import (
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/kafka/kafkatest"
	"github.com/tidegate/tidegate/internal/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, kafkatest.Background()) }

const (
	// budget is how long worlds are made; one that has begun is lived to its end.
	budget = 12 * time.Second
	// However slow the machine, so much is lived through: less would say nothing.
	leastWorlds   = 5
	leastAccepted = 100
)

// TestAcceptedMessagesArriveInOrder lives through random lives of a fleet. At the end of each, everything that was
// accepted has been received, first receipts stand in their senders' order, and no app saw a message twice; on any one
// connection, offsets only grow and no message comes twice.
func TestAcceptedMessagesArriveInOrder(t *testing.T) {
	begun := time.Now()
	worlds, ended, messages, accepted := 0, 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		// Once a world has failed, it is lived again, and smaller ones, to find the smallest that fails.
		failed := worlds > ended
		if enough := worlds >= leastWorlds && accepted >= leastAccepted; enough && !failed && time.Since(begun) > budget {
			return
		}
		worlds++
		w := newWorld(t)
		defer w.close()
		w.begin(t)
		w.live(t)
		w.rest(t)
		report := w.books.Report()
		messages, accepted = messages+report.Received, accepted+report.Accepted
		ended++
	})
	t.Logf("%d worlds, %d messages accepted, %d received", worlds, accepted, messages)
	if worlds < leastWorlds || accepted < leastAccepted {
		t.Fatalf("%d worlds accepted %d messages: want %d worlds and %d messages, or the test says nothing", worlds, accepted, leastWorlds, leastAccepted)
	}
}

// live lets things happen. The draws decide what, and how much time passes until the next.
func (w *world) live(t *rapid.T) {
	traffic := []func(*rapid.T){w.send, w.send, w.arrive, w.arrive, w.read, w.ping}
	events := []func(*rapid.T){w.come, w.come, w.leave, w.birth, w.death, w.move, w.fail, w.fail, w.fail, w.lead}
	for range rapid.IntRange(20, 80).Draw(t, "steps") {
		actions := traffic
		if rapid.IntRange(0, 4).Draw(t, "event") == 0 {
			actions = events
		}
		rapid.SampledFrom(actions).Draw(t, "action")(t)
		<-time.After(time.Duration(rapid.IntRange(0, 4).Draw(t, "ms until the next")) * time.Millisecond)
		w.verify(t)
	}
}

func (w *world) someone(t *rapid.T) *client { return rapid.SampledFrom(w.clients).Draw(t, "client") }

// send makes letters, most of them to few, so that their order is at stake.
func (w *world) send(t *rapid.T) {
	for _, c := range w.clients {
		to := w.clients[rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "to")].name
		for range rapid.IntRange(0, 4).Draw(t, "messages") {
			c.send(to)
		}
	}
}

func (w *world) arrive(t *rapid.T) {
	for _, c := range w.clients {
		for range rapid.IntRange(0, 6).Draw(t, "frames up") {
			c.arrive(rapid.IntRange(0, 30).Draw(t, "refused") == 30)
		}
	}
}

func (w *world) read(t *rapid.T) {
	for _, c := range w.clients {
		for range rapid.IntRange(0, 12).Draw(t, "frames down") {
			c.read()
		}
		if rapid.Bool().Draw(t, "repeat") {
			c.repeat()
		}
	}
}

func (w *world) ping(*rapid.T) {
	for _, c := range w.clients {
		c.ping()
	}
}

func (w *world) come(t *rapid.T) {
	if _, fault := w.someone(t).connect(rapid.SampledFrom(w.nodes).Draw(t, "node")); fault != "" {
		t.Fatalf("%s", fault)
	}
}

func (w *world) leave(t *rapid.T) { w.someone(t).disconnect() }

func (w *world) birth(t *rapid.T) {
	if len(w.nodes) < 3 {
		w.serve(t, w.bear(t))
	}
}

func (w *world) death(t *rapid.T) {
	if len(w.nodes) < 2 {
		return
	}
	at := rapid.IntRange(0, len(w.nodes)-1).Draw(t, "node")
	w.kill(w.nodes[at])
	w.nodes = slices.Delete(w.nodes, at, at+1)
}

func (w *world) move(t *rapid.T) { w.serve(t, rapid.SampledFrom(w.nodes).Draw(t, "node")) }

func (w *world) lead(*rapid.T) { w.kafka.ShufflePartitionLeaders() }

// serve gives a node a random set of shards, whoever else serves them.
func (w *world) serve(t *rapid.T, n *node) {
	set := map[shard.ID]struct{}{}
	for id := range shard.ID(shards) {
		if rapid.IntRange(0, 3).Draw(t, "served") > 0 {
			set[id] = struct{}{}
		}
	}
	n.inbox.Serve(set)
}
