package outbox

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// sender is a client as the protocol wants it: it sends in order, hears of outcomes late, and sends everything that
// was not accepted again, in order, before it goes on.
type sender struct {
	name           string
	made, accepted int
	// gone are messages that it gave up: they need not arrive.
	gone map[int]bool
	// wire holds what it sent and the node has not read yet; news are outcomes that it has not heard yet.
	wire []int
	news []news
}

type news struct {
	message int
	err     error
}

func newSender(name string) *sender { return &sender{name: name, gone: map[int]bool{}} }

func (s *sender) id(message int) string { return fmt.Sprintf("%s-%d", s.name, message) }

func (s *sender) entry(message int, done map[*entry]int) *entry {
	e := &entry{message: Message{Sender: s.name, ID: s.id(message), Value: []byte("v")}}
	e.done = func(_ Receipt, err error) { done[e]++; s.news = append(s.news, news{message, err}) }
	return e
}

// hear takes one outcome and says whether it asks for everything again.
func (s *sender) hear(n news) bool {
	if n.err == nil {
		s.accepted = max(s.accepted, n.message+1)
	}
	return n.err != nil
}

func (s *sender) repeat() {
	for message := s.accepted; message < s.made; message++ {
		s.wire = append(s.wire, message)
	}
}

// settle lets the sender do all it can with a producer that takes everything, for less time than a hold lasts, and
// returns how many messages it sent.
func (s *sender) settle(t *rapid.T, d *desk, done map[*entry]int) int {
	sent := 0
	s.repeat()
	for begun := d.now; s.accepted < s.made; d.pass(probeLast) {
		if d.now.Sub(begun) > holdFor/4 {
			t.Fatalf("%s waits for %s, although nothing fails any more: something holds it", s.name, s.id(s.accepted))
		}
		for _, message := range s.wire {
			e := s.entry(message, done)
			sent++
			if err := d.push(e, d.now); err != nil {
				e.done(Receipt{}, err)
			}
			d.flush()
		}
		s.wire = nil
		again := false
		for _, n := range s.news {
			again = s.hear(n) || again
		}
		s.news = nil
		if again {
			s.repeat()
		}
	}
	return sent
}

// flush has the producer take everything that it may get.
func (d *desk) flush() {
	for d.feed(); len(d.flying) > 0; d.feed() {
		e := d.flying[0]
		d.flying = d.flying[1:]
		d.call(d.resolve(e, Receipt{}, nil, d.now))
	}
}

// TestAcceptedMessagesKeepTheirOrder is the order rule against every interleaving of sends, answers, timeouts and
// news on their way: in the log, first receipts of one sender stand in the order in which it made the messages.
func TestAcceptedMessagesKeepTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := limits{
			pair: rapid.IntRange(1, 4).Draw(t, "pair"), messages: rapid.IntRange(2, 12).Draw(t, "messages"),
			bytes: 1 << 20, flying: rapid.IntRange(1, 3).Draw(t, "flying"), timeout: 3 * time.Second,
		}
		d := newDesk(l)
		senders := []*sender{newSender("a"), newSender("b"), newSender("c")}
		var log []string
		done := map[*entry]int{}
		taken := 0
		pick := rapid.SampledFrom(senders)
		actions := map[string]func(*rapid.T){
			"make": func(t *rapid.T) {
				s := pick.Draw(t, "sender")
				s.wire = append(s.wire, s.made)
				s.made++
			},
			"arrive": func(t *rapid.T) {
				s := pick.Draw(t, "sender")
				if len(s.wire) == 0 {
					return
				}
				message := s.wire[0]
				s.wire = s.wire[1:]
				e := s.entry(message, done)
				if rapid.IntRange(0, 9).Draw(t, "limit") == 0 {
					d.refuse(s.name, 0, s.id(message), d.now)
					s.news = append(s.news, news{message, errRefused})
					return
				}
				taken++
				if err := d.push(e, d.now); err != nil {
					e.done(Receipt{}, err)
				}
			},
			"hear": func(t *rapid.T) {
				s := pick.Draw(t, "sender")
				if len(s.news) == 0 {
					return
				}
				heard := s.news[0]
				s.news = s.news[1:]
				if s.hear(heard) {
					s.repeat()
				}
			},
			"settle elsewhere": func(t *rapid.T) {
				s := pick.Draw(t, "sender")
				if s.accepted == s.made {
					return
				}
				if rapid.Bool().Draw(t, "accepted there") {
					log = append(log, s.id(s.accepted))
				} else {
					s.gone[s.accepted] = true
				}
				s.accepted++
			},
			"feed": func(*rapid.T) { d.feed() },
			"answer": func(t *rapid.T) {
				if len(d.flying) == 0 {
					return
				}
				at := rapid.IntRange(0, len(d.flying)-1).Draw(t, "which")
				e := d.flying[at]
				d.flying = slices.Delete(d.flying, at, at+1)
				fails := rapid.IntRange(0, 2).Draw(t, "fails") == 0
				if !fails || rapid.Bool().Draw(t, "written all the same") {
					log = append(log, e.message.ID)
				}
				var err error
				if fails {
					err = errRefused
				}
				d.call(d.resolve(e, Receipt{}, err, d.now))
			},
			"time": func(t *rapid.T) { d.pass(time.Duration(rapid.IntRange(1, 2000).Draw(t, "ms")) * time.Millisecond) },
			"": func(t *rapid.T) {
				for _, s := range senders {
					if one := slices.IndexFunc(d.flying, func(e *entry) bool { return e.message.Sender == s.name }); one >= 0 {
						if slices.IndexFunc(d.flying[one+1:], func(e *entry) bool { return e.message.Sender == s.name }) >= 0 {
							t.Fatalf("the producer has two messages of %s: their order is its to choose", s.name)
						}
					}
					inOrder(t, s, log)
				}
				if d.messages < 0 || d.bytes < 0 || d.messages > l.messages {
					t.Fatalf("the outbox counts %d messages and %d bytes of at most %d", d.messages, d.bytes, l.messages)
				}
			},
		}
		t.Repeat(actions)
		if rapid.Bool().Draw(t, "everything gets well") {
			for _, s := range senders {
				taken += s.settle(t, d, done)
			}
		}
		for _, e := range d.flying {
			d.call(d.resolve(e, Receipt{}, errRefused, d.now))
		}
		d.flying = nil
		d.call(d.close())
		total := 0
		for _, times := range done {
			if times != 1 {
				t.Fatalf("done was called %d times for one message", times)
			}
			total++
		}
		if total != taken {
			t.Fatalf("%d of %d messages never heard what became of them", taken-total, taken)
		}
	})
}

func inOrder(t *rapid.T, s *sender, log []string) {
	next := 0
	for _, id := range log {
		for message := next; message < s.made; message++ {
			if id == s.id(message) {
				for ; next < message; next++ {
					if !s.gone[next] {
						t.Fatalf("%s arrived before %s: %q", id, s.id(next), log)
					}
				}
				next++
			}
		}
	}
}
