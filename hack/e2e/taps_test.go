//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// taps listen to what servers say on WebSocket connections, so that the end of each can be judged from outside the
// client: told and closed in order, left by the client itself, or cut without a word.
type taps struct {
	mu   sync.Mutex
	ends []ending
	open map[*tap]struct{}
	// welcomes are the sessions that began, oldest first.
	welcomes []arrival
}

// arrival is a session that began: whose, where, and whether it goes on where the client's last one ended.
type arrival struct {
	client, node string
	// asked says that the client had something to go on from; one that has never heard anything has not.
	asked, resumed bool
	at             time.Time
}

// ending is how one connection went.
type ending struct {
	address string
	// arrival is the session's beginning; its client is empty when there was none.
	arrival arrival
	// told says that a drain or moved frame came; toldAt is when the first one did.
	told   bool
	toldAt time.Time
	// code is the server's close code, 0 without a close frame.
	code   uint16
	reason string
	// left says that the client closed first.
	left bool
	at   time.Time
}

func (e ending) String() string {
	return fmt.Sprintf("%s of %s on %s: told %v, closed with %d %q, left %v", e.address, e.arrival.client, e.arrival.node, e.told, e.code, e.reason, e.left)
}

// cut says that the server ended the session without a word.
func (e ending) cut() bool { return e.code == 0 && !e.left }

// silent says that the client gave up a session of which it had not been told anything: so do clients that leave for good,
// and those whose node has died in silence.
func (e ending) silent() bool { return e.code == 0 && !e.told && e.arrival.client != "" }

func newTaps() *taps { return &taps{open: map[*tap]struct{}{}} }

func (b *taps) wrap(conn net.Conn, address string) net.Conn {
	return &tap{Conn: conn, book: b, end: ending{address: address}}
}

// since are the connections that ended from then on.
func (b *taps) since(then time.Time) []ending {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []ending
	for _, e := range b.ends {
		if !e.at.Before(then) {
			out = append(out, e)
		}
	}
	return out
}

// addresses are those that open sessions were opened at.
func (b *taps) addresses() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	byAddress := map[string]int{}
	for t := range b.open {
		byAddress[t.end.address]++
	}
	return byAddress
}

// held counts the open sessions of each node.
func (b *taps) held() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	byNode := map[string]int{}
	for t := range b.open {
		if a := t.end.arrival; a.client != "" {
			byNode[a.node]++
		}
	}
	return byNode
}

// present are the clients that have an open session.
func (b *taps) present() map[string]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	clients := map[string]bool{}
	for t := range b.open {
		clients[t.end.arrival.client] = true
	}
	return clients
}

// began are the sessions that have begun so far, by client, each one's oldest first.
func (b *taps) began() map[string][]arrival {
	b.mu.Lock()
	defer b.mu.Unlock()
	byClient := map[string][]arrival{}
	for _, a := range b.welcomes {
		byClient[a.client] = append(byClient[a.client], a)
	}
	return byClient
}
