package socket

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/client"
)

// ledger judges what a swarm sent and received: every accepted message arrives, each sender's in order, none twice.
type ledger struct {
	mu       sync.Mutex
	accepted map[string][]string // by "sender>recipient"
	received map[string][]string
}

func (l *ledger) note(book map[string][]string, from, to, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	book[from+">"+to] = append(book[from+">"+to], id)
}

// missing counts accepted messages that have not arrived.
func (l *ledger) missing() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for pair, ids := range l.accepted {
		got := map[string]bool{}
		for _, id := range l.received[pair] {
			got[id] = true
		}
		for _, id := range ids {
			if !got[id] {
				n++
			}
		}
	}
	return n
}

func (l *ledger) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	total := 0
	for pair, ids := range l.received {
		total += len(ids)
		if !slices.IsSorted(ids) {
			t.Errorf("%s: received out of order: %v", pair, ids)
		}
		if len(slices.Compact(slices.Clone(ids))) != len(ids) {
			t.Errorf("%s: received twice: %v", pair, ids)
		}
	}
	t.Logf("%d messages received", total)
}

// swarm is a set of real clients that send to each other.
type swarm struct {
	ledger  *ledger
	clients []*client.Client
	names   []string
	work    sync.WaitGroup
	sending sync.WaitGroup
	stopped atomic.Bool
	stop    context.CancelFunc
}

// release starts the clients; each sends to random others, one message at a time, until rest is called.
func release(t *testing.T, table *atomic.Pointer[shard.Table], count int) *swarm {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s := &swarm{ledger: &ledger{accepted: map[string][]string{}, received: map[string][]string{}}, stop: stop}
	transport := &http.Transport{}
	var connected sync.WaitGroup
	connected.Add(count)
	for i := range count {
		name := fmt.Sprint("client-", i)
		var once sync.Once
		c := client.New(client.Options{
			Client: name, HTTP: &http.Client{Transport: transport}, AckEvery: 20 * time.Millisecond, PingEvery: 200 * time.Millisecond,
			Backoff: 20 * time.Millisecond, MaxBackoff: 200 * time.Millisecond, Logger: testLogger(),
			Resolve: func(context.Context, string, string) (client.Place, error) {
				t := table.Load()
				id, _ := t.Row(name)
				return client.Place{URL: t.OwnerURL(id), TableVersion: t.Version}, nil
			},
			OnMessage: func(m client.Message) { s.ledger.note(s.ledger.received, m.From, name, m.ID) },
			OnChange: func(change client.Change) {
				if change == client.Connected {
					once.Do(connected.Done)
				}
			},
		})
		s.clients, s.names = append(s.clients, c), append(s.names, name)
		s.work.Go(func() { _ = c.Run(ctx) })
	}
	connected.Wait()
	for i := range count {
		s.sending.Go(func() { s.send(ctx, i) })
	}
	t.Cleanup(func() { stop(); s.work.Wait(); s.sending.Wait(); transport.CloseIdleConnections() })
	return s
}

func (s *swarm) send(ctx context.Context, i int) {
	for n := 0; !s.stopped.Load(); n++ {
		to, id := s.names[rand.N(len(s.names))], fmt.Sprintf("%06d", n)
		done := make(chan error, 1)
		if s.clients[i].Send(to, id, []byte(`{"n":1}`), func(err error) { done <- err }) != nil {
			return
		}
		select {
		case err := <-done:
			if err == nil {
				s.ledger.note(s.ledger.accepted, s.names[i], to, id)
			}
		case <-ctx.Done():
			return
		}
	}
}

// rest ends the sending and waits until everything has arrived.
func (s *swarm) rest(t *testing.T) {
	t.Helper()
	s.stopped.Store(true)
	s.sending.Wait()
	eventually(t, "every accepted message has arrived", func() bool { return s.ledger.missing() == 0 })
	s.ledger.check(t)
	for _, c := range s.clients {
		if stats := c.Stats(); stats.Gaps > 0 {
			t.Errorf("a client was told of %d gaps", stats.Gaps)
		}
	}
}

func TestASwarmLosesNothingWhileShardsMoveNodesDrainAndDie(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var table atomic.Pointer[shard.Table]
	publish := func(change func(*shard.Row)) {
		w.write(change)
		table.Store(w.table)
	}
	a, b, c := w.start("a"), w.start("b"), w.start("c")
	owners := []fleet.NodeID{a.id, b.id}
	i := 0
	publish(func(row *shard.Row) { row.Owner = owners[i%2]; i++ })
	s := release(t, &table, 12)

	// Two rounds of moving everything to c and half of it back, in the three steps of a move.
	move := func(to *running, when func(shard.Row) bool) {
		publish(func(row *shard.Row) {
			if when(*row) {
				row.Next = to.id
			}
		})
		eventually(t, "the next owner is ready", func() bool {
			for i, row := range table.Load().Rows {
				if row.Next == to.id && !to.inbox.Ready(shard.ID(i)) {
					return false
				}
			}
			return true
		})
		publish(func(row *shard.Row) {
			if row.Next == to.id {
				row.Owner, row.Next = to.id, ""
			}
		})
	}
	for range 2 {
		move(c, func(row shard.Row) bool { return row.Owner == a.id })
		move(a, func(row shard.Row) bool { return row.Owner == b.id })
		move(b, func(row shard.Row) bool { return row.Owner == c.id })
	}
	// b dies without a word; its shards go to c at once.
	b.kill()
	w.table = w.table.Clone() // the clients read the published one
	delete(w.table.Nodes, b.id)
	publish(func(row *shard.Row) {
		if row.Owner == b.id {
			row.Owner, row.Next = c.id, ""
		}
	})
	// a drains with live sessions while its shards warm up on c.
	answers := drainBeside(t, a)
	move(c, func(row shard.Row) bool { return row.Owner == a.id })
	if summary := await(t, answers); summary.Left != 0 {
		t.Errorf("the drain ended with %+v", summary)
	}
	a.stop(t)
	s.rest(t)
}
