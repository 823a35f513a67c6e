// Package swarm is a crowd of independent clients that talk to each other through a fleet, and keep the books on it:
// what was accepted, what arrived, in which order, and how long nobody was connected.
package swarm

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/socket/client"
)

const (
	// beat is how often the crowd looks at what it should be doing.
	beat = 20 * time.Millisecond
	// joinsPerBeat bounds how fast clients appear: 400 a second.
	joinsPerBeat = 8
	// mostWaiting is how many messages of one client may wait for acceptance before it pauses.
	mostWaiting = 32
)

// Book keeps what was accepted and what arrived, by sender, recipient and the sender's count of messages to it.
type Book interface {
	Sent(from, to string, sequence uint64)
	Accepted(from, to string, sequence uint64)
	Received(to, from string, sequence uint64) bool
}

// Options are what a swarm needs. All fields are required but Logger.
type Options struct {
	Resolve func(ctx context.Context, client, token string) (client.Place, error)
	// Token returns a JWT for a client id.
	Token  func(id string) (string, error)
	Book   Book
	HTTP   *http.Client
	Seed   uint64
	Logger *slog.Logger
}

// Stats are the crowd's counts so far, those of clients that left included.
type Stats struct {
	Clients, Connected                          int
	Sent, Accepted, Received, Refused           uint64
	Connects, Moves, Losses, Gaps               uint64
	Overlaps, Duplicates                        uint64
	LongestGap, LatencyP50, LatencyP99, Slowest time.Duration
}

// Swarm is the crowd. Run drives it; Want and Stats may be called from any goroutine.
type Swarm struct {
	o Options

	wantClients atomic.Int64
	// wantRate is messages a second of one client, in thousandths.
	wantRate atomic.Int64

	mu      sync.Mutex
	active  []*member
	leaving []*member
	gone    Stats
	serial  int

	random  *rand.Rand
	credit  float64
	members sync.WaitGroup

	sent, accepted, received, refused atomic.Uint64
	latency                           latency
}

// New builds a swarm; Run starts it.
func New(o Options) *Swarm {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Swarm{o: o, random: rand.New(rand.NewPCG(o.Seed, 0))}
}

// Want sets how many clients there should be, and how many messages a second each of them sends.
func (s *Swarm) Want(clients int, rate float64) {
	s.wantClients.Store(int64(clients))
	s.wantRate.Store(int64(rate * 1000))
}

// Run keeps the crowd at what was wanted until ctx ends; then every client leaves.
func (s *Swarm) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer s.members.Wait()
	defer cancel()
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			s.resize(ctx)
			s.release()
			s.talk(now.Sub(last))
			last = now
		}
	}
}

// resize lets clients appear, or asks the newest to leave once nothing is on its way to them.
func (s *Swarm) resize(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := int(s.wantClients.Load())
	for joined := 0; len(s.active) < want && joined < joinsPerBeat; joined++ {
		s.active = append(s.active, s.join(ctx))
	}
	for len(s.active) > want {
		last := len(s.active) - 1
		s.leaving = append(s.leaving, s.active[last])
		s.active = s.active[:last]
	}
}

// release disconnects the leaving clients that nobody owes anything: an accepted message must find its recipient.
func (s *Swarm) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = slices.DeleteFunc(s.leaving, func(m *member) bool {
		if !m.settled() {
			return false
		}
		m.stop()
		s.gone.add(m.client.Stats())
		return true
	})
}

// talk lets random clients send to random others, as many messages as the time that passed is worth.
func (s *Swarm) talk(passed time.Duration) {
	s.mu.Lock()
	talkers := slices.Clone(s.active)
	s.mu.Unlock()
	talkers = slices.DeleteFunc(talkers, func(m *member) bool { return !m.met.Load() })
	if len(talkers) < 2 {
		return
	}
	s.credit += float64(s.wantRate.Load()) / 1000 * float64(len(talkers)) * passed.Seconds()
	s.credit = min(s.credit, float64(mostWaiting*len(talkers)))
	for ; s.credit >= 1; s.credit-- {
		from := talkers[s.random.IntN(len(talkers))]
		to := talkers[s.random.IntN(len(talkers))]
		if from == to || from.waiting.Load() >= mostWaiting {
			continue
		}
		s.send(from, to)
	}
}

// join adds a client; the caller holds the lock.
func (s *Swarm) join(ctx context.Context) *member {
	s.serial++
	m := newMember(s, fmt.Sprintf("client-%04d", s.serial))
	ctx, m.stop = context.WithCancel(ctx)
	s.members.Go(func() {
		if err := m.client.Run(ctx); err != nil {
			s.o.Logger.Warn("client ended", slog.String("client", m.id), slog.Any("error", err))
		}
	})
	return m
}

// Quiet reports whether everything that was sent is settled: accepted and received, or refused.
func (s *Swarm) Quiet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, group := range [][]*member{s.active, s.leaving} {
		for _, m := range group {
			if !m.settled() {
				return false
			}
		}
	}
	return true
}

// Stats returns the counts so far.
func (s *Swarm) Stats() Stats {
	s.mu.Lock()
	total := s.gone
	for _, group := range [][]*member{s.active, s.leaving} {
		for _, m := range group {
			total.Clients++
			if m.connected.Load() {
				total.Connected++
			}
			total.add(m.client.Stats())
		}
	}
	s.mu.Unlock()
	total.Sent, total.Accepted = s.sent.Load(), s.accepted.Load()
	total.Received, total.Refused = s.received.Load(), s.refused.Load()
	total.LatencyP50, total.LatencyP99, total.Slowest = s.latency.quantile(0.5), s.latency.quantile(0.99), s.latency.slowest()
	return total
}

func (t *Stats) add(c client.Stats) {
	t.Connects += c.Connects
	t.Moves += c.Moves
	t.Losses += c.Losses
	t.Gaps += c.Gaps
	t.Overlaps += c.Overlaps
	t.Duplicates += c.Duplicates
	t.LongestGap = max(t.LongestGap, c.LongestGap)
}
