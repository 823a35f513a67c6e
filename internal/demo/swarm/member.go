package swarm

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/socket/client"
)

// member is one client of the crowd.
type member struct {
	id     string
	swarm  *Swarm
	client *client.Client
	stop   context.CancelFunc

	// met says that the client has had a session: before that nobody can write to it.
	met, connected atomic.Bool
	// waiting counts the member's own messages that are not settled.
	waiting atomic.Int64

	mu sync.Mutex
	// owed are the messages to this member that are on their way: sent and not refused, not received yet.
	owed map[string]struct{}
	// count is how many messages this member has sent to each other one.
	count map[string]uint64
}

// note is the payload of the crowd's messages.
type note struct {
	Sequence uint64 `json:"sequence"`
	SentAt   int64  `json:"sentAtNanos"`
}

func newMember(s *Swarm, id string) *member {
	m := &member{id: id, swarm: s, owed: make(map[string]struct{}), count: make(map[string]uint64)}
	m.client = client.New(client.Options{
		Client:    id,
		Token:     func(context.Context) (string, error) { return s.o.Token(id) },
		Resolve:   s.o.Resolve,
		OnMessage: m.receive,
		OnChange:  m.change,
		HTTP:      s.o.HTTP,
		Logger:    s.o.Logger,
	})
	return m
}

func (m *member) change(c client.Change) {
	switch c {
	case client.Connected, client.MovedOver:
		m.met.Store(true)
		m.connected.Store(true)
	case client.Lost:
		m.connected.Store(false)
	case client.Gap:
	}
}

// settled reports whether nothing is on its way from or to the member.
func (m *member) settled() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.owed) == 0 && m.waiting.Load() == 0
}

func (m *member) owe(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owed[key] = struct{}{}
}

func (m *member) unowe(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.owed, key)
}

// send is called by the swarm's goroutine only, which makes the sequences of a pair count in the order of the sends.
func (s *Swarm) send(from, to *member) {
	from.count[to.id]++
	sequence := from.count[to.id]
	id := fmt.Sprintf("%s-%d", to.id, sequence)
	key := from.id + "/" + id
	payload, err := json.Marshal(note{Sequence: sequence, SentAt: time.Now().UnixNano()})
	if err != nil {
		return
	}
	to.owe(key)
	from.waiting.Add(1)
	s.sent.Add(1)
	s.o.Book.Sent(from.id, to.id, sequence)
	err = from.client.Send(to.id, id, payload, func(err error) {
		from.waiting.Add(-1)
		if err != nil {
			s.refused.Add(1)
			to.unowe(key)
			return
		}
		s.accepted.Add(1)
		s.o.Book.Accepted(from.id, to.id, sequence)
	})
	if err != nil {
		from.waiting.Add(-1)
		s.refused.Add(1)
		to.unowe(key)
	}
}

func (m *member) receive(message client.Message) {
	var n note
	if err := json.Unmarshal(message.Payload, &n); err != nil {
		return
	}
	m.swarm.received.Add(1)
	m.swarm.latency.add(time.Duration(time.Now().UnixNano() - n.SentAt))
	m.swarm.o.Book.Received(m.id, message.From, n.Sequence)
	m.unowe(message.From + "/" + message.ID)
}
