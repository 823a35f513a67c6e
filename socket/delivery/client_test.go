package delivery_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tidegate/tidegate/internal/ledger"
	"github.com/tidegate/tidegate/internal/record"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/inbox"
	"github.com/tidegate/tidegate/socket/outbox"
)

var errRefused = errors.New("the client sends too much")

// letter is a message as its sender knows it.
type letter struct {
	to     string
	number uint64
}

func (l letter) id() string { return fmt.Sprint(l.to, "-", l.number) }

// client keeps the protocol's rules: it sends in order, sends what was not accepted again, in order, before anything
// new, drops what it has by offset and by (from, id), and resumes with its last offset.
type client struct {
	name    string
	ledger  *ledger.Ledger
	made    map[string]uint64
	pending []letter
	// again says that something was not accepted: nothing new goes out before all of pending went out again.
	again bool

	last int64
	seen map[string]bool
	link *link
}

func newClient(name string, books *ledger.Ledger) *client {
	return &client{name: name, ledger: books, made: map[string]uint64{}, last: inbox.None, seen: map[string]bool{}}
}

// link is one connection of a client to a node. What is on its way when it breaks is lost, in both directions.
type link struct {
	client *client
	node   *node
	sub    *inbox.Subscription
	// up is what the client has sent and the node has not read yet.
	up []letter

	mu     sync.Mutex
	broken bool
	// down is what the node has sent and the client has not read yet.
	down []frame
	// offset and ids are those of the deliveries, to judge the node alone.
	offset int64
	ids    map[string]bool
	fault  string
}

// frame is one of: a message, a pong with an offset, what became of a letter.
type frame struct {
	message *inbox.Message
	pong    int64
	letter  letter
	failed  error
	outcome bool
}

// Deliver implements inbox.Receiver.
func (l *link) Deliver(m inbox.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		return
	}
	key := m.From + "/" + m.ID
	switch {
	case m.Offset <= l.offset:
		l.fault = fmt.Sprintf("%s got offset %d after %d on one connection", l.client.name, m.Offset, l.offset)
	case l.ids[key]:
		l.fault = fmt.Sprintf("%s got %s twice on one connection", l.client.name, key)
	}
	l.offset, l.ids[key] = m.Offset, true
	l.down = append(l.down, frame{message: &m})
}

func (l *link) push(f frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.broken {
		l.down = append(l.down, f)
	}
}

func (l *link) pop() (frame, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken || len(l.down) == 0 {
		return frame{}, false
	}
	f := l.down[0]
	l.down = l.down[1:]
	return f, true
}

// cut breaks the connection.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken, l.down = true, nil
}

func (l *link) state() (broken bool, fault string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken, l.fault
}

// connected drops a link that broke and says whether there is another.
func (c *client) connected() bool {
	if c.link == nil {
		return false
	}
	if broken, _ := c.link.state(); broken {
		c.link = nil
	}
	return c.link != nil
}

// connect opens a session at a node, if the node is ready for it, and returns a fault in how it starts.
func (c *client) connect(n *node) (connected bool, fault string) {
	c.disconnect()
	l := &link{client: c, node: n, offset: inbox.None, ids: map[string]bool{}}
	sub, start, err := n.inbox.Attach(c.name, c.last, l)
	if err != nil {
		return false, ""
	}
	if c.last != inbox.None && !start.Resumed {
		return false, fmt.Sprintf("%s came with offset %d, which the log holds, and was not resumed", c.name, c.last)
	}
	l.sub, l.offset, c.link = sub, start.From, l
	n.hold(l)
	sub.Begin()
	c.again = true
	c.repeat()
	return true, ""
}

func (c *client) disconnect() {
	if c.link != nil {
		c.link.cut()
		c.link.sub.Detach()
		c.link = nil
	}
}

// send makes a new letter and puts it behind all others.
func (c *client) send(to string) {
	c.made[to]++
	l := letter{to: to, number: c.made[to]}
	c.ledger.Sent(c.name, to, l.number)
	c.pending = append(c.pending, l)
	if c.connected() && !c.again {
		c.link.up = append(c.link.up, l)
	}
}

// repeat sends what was not accepted again, once for however many refusals.
func (c *client) repeat() {
	if c.connected() && c.again {
		c.link.up = append(c.link.up, c.pending...)
		c.again = false
	}
}

// arrive lets the node read one frame of the client, which it may refuse for reasons of its own.
func (c *client) arrive(refused bool) {
	if !c.connected() || len(c.link.up) == 0 {
		return
	}
	l, letter := c.link, c.link.up[0]
	l.up = l.up[1:]
	if refused {
		l.node.box.Refuse(c.name, shard.Of(letter.to, shards), letter.id())
		l.push(frame{letter: letter, failed: errRefused, outcome: true})
		return
	}
	value, err := record.Message{From: c.name, ID: letter.id(), To: letter.to, Payload: []byte("1")}.Append(nil)
	if err != nil {
		panic(err) // the names are the test's own
	}
	l.node.box.Send(
		outbox.Message{Sender: c.name, ID: letter.id(), Shard: shard.Of(letter.to, shards), Key: letter.to, Value: value},
		func(_ outbox.Receipt, err error) { l.push(frame{letter: letter, failed: err, outcome: true}) },
	)
}

// read lets the client read one frame of the node.
func (c *client) read() bool {
	if !c.connected() {
		return false
	}
	f, there := c.link.pop()
	switch {
	case !there:
		return false
	case f.message != nil:
		c.receive(*f.message)
	case f.outcome && f.failed != nil:
		c.again = true
	case f.outcome:
		c.ledger.Accepted(c.name, f.letter.to, f.letter.number)
		c.pending = slices.DeleteFunc(c.pending, func(l letter) bool { return l == f.letter })
	default:
		c.last = max(c.last, f.pong)
	}
	return true
}

func (c *client) receive(m inbox.Message) {
	if m.Offset <= c.last {
		return
	}
	c.last = m.Offset
	key := m.From + "/" + m.ID
	if c.seen[key] {
		return
	}
	c.seen[key] = true
	var number uint64
	if _, err := fmt.Sscanf(m.ID[strings.LastIndex(m.ID, "-")+1:], "%d", &number); err != nil {
		panic(err) // the ids are the test's own
	}
	c.ledger.Received(c.name, m.From, number)
}

// ping has the node answer how far the client is.
func (c *client) ping() {
	if c.connected() {
		c.link.push(frame{pong: c.link.sub.Position()})
	}
}
