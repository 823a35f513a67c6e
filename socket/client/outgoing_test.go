package client

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/protocol"
)

func TestMessagesToOneRecipientAreAcceptedInTheOrderTheyWereSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		out := newOutgoing()
		now := time.Unix(0, 0)
		sent, accepted := map[string][]string{}, map[string][]string{}
		flying := map[string]string{}
		fly := func(p *pending) {
			if other := flying[p.frame.To]; other != "" && other != p.frame.ID {
				t.Fatalf("%s left while %s is on its way to %s: a retry of one could overtake the other", p.frame.ID, other, p.frame.To)
			}
			flying[p.frame.To] = p.frame.ID
		}
		serial := 0
		t.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				serial++
				id, to := strconv.Itoa(serial), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "to")
				p := &pending{frame: protocol.Send{ID: id, To: to}, done: func(error) { accepted[to] = append(accepted[to], id) }}
				sent[to] = append(sent[to], id)
				if leave, _ := out.push(p); leave {
					fly(p)
				}
			},
			"accept": func(t *rapid.T) {
				to := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "to")
				settled, next := out.settle(flying[to])
				if settled == nil {
					return
				}
				delete(flying, to)
				settled.done(nil)
				if next != nil {
					fly(next)
				}
			},
			"refuse for a while": func(t *rapid.T) {
				out.hold(flying[rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "to")], now.Add(time.Second))
			},
			"time passes": func(*rapid.T) {
				now = now.Add(700 * time.Millisecond)
				leave, _ := out.due(now)
				for _, p := range leave {
					fly(p)
				}
			},
			"reconnect": func(*rapid.T) {
				for _, p := range out.heads() {
					fly(p)
				}
			},
			"": func(t *rapid.T) {
				for to, ids := range accepted {
					if !slices.Equal(ids, sent[to][:len(ids)]) {
						t.Fatalf("to %s: accepted %v of sent %v: the recipient would see an inversion", to, ids, sent[to])
					}
				}
			},
		})
	})
}

func TestAnswersThatAreOldNewsSettleNothing(t *testing.T) {
	out := newOutgoing()
	out.push(&pending{frame: protocol.Send{ID: "1", To: "a"}})
	out.push(&pending{frame: protocol.Send{ID: "2", To: "a"}})
	for _, id := range []string{"2", "unknown", ""} {
		if settled, _ := out.settle(id); settled != nil {
			t.Errorf("answer to %q settled %q: a message that never left would count as accepted", id, settled.frame.ID)
		}
	}
}

func TestAnIDThatStillWaitsIsNotSentTwice(t *testing.T) {
	out := newOutgoing()
	out.push(&pending{frame: protocol.Send{ID: "1", To: "a"}})
	if _, fresh := out.push(&pending{frame: protocol.Send{ID: "1", To: "b"}}); fresh {
		t.Error("one id waits for two recipients: its acceptance would be ambiguous")
	}
}

func TestDropFailsEverythingThatWaits(t *testing.T) {
	out := newOutgoing()
	var failed []error
	for i := range 3 {
		out.push(&pending{frame: protocol.Send{ID: strconv.Itoa(i), To: "a"}, done: func(err error) { failed = append(failed, err) }})
	}
	out.drop(ErrClosed)
	if len(failed) != 3 || !errors.Is(failed[2], ErrClosed) {
		t.Errorf("dropped with %v: a caller waits for ever", failed)
	}
}

func offset(value int64) protocol.Offset { return protocol.Offset{Topic: "t", Value: value} }

func TestIncomingShowsEachMessageOnce(t *testing.T) {
	in := newIncoming()
	steps := []struct {
		name string
		m    protocol.Message
		want arrival
	}{
		{"the first message is new", protocol.Message{From: "a", ID: "1", Offset: offset(5)}, fresh},
		{"the same offset again comes over the other connection", protocol.Message{From: "a", ID: "1", Offset: offset(5)}, overlap},
		{"a sender's retry further down the log is a duplicate", protocol.Message{From: "a", ID: "1", Offset: offset(9)}, duplicate},
		{"the same id of another sender is new", protocol.Message{From: "b", ID: "1", Offset: offset(10)}, fresh},
		{"an offset behind is an overlap", protocol.Message{From: "c", ID: "7", Offset: offset(8)}, overlap},
		{"an offset the client asked to resume after is a duplicate", protocol.Message{From: "c", ID: "8", Offset: offset(2)}, duplicate},
		{"a topic made anew starts over", protocol.Message{From: "c", ID: "7", Offset: protocol.Offset{Topic: "u", Value: 0}}, fresh},
	}
	for _, s := range steps {
		if got := in.take(s.m, offset(2)); got != s.want {
			t.Errorf("%s: it is %v, want %v", s.name, got, s.want)
		}
	}
}

func TestIncomingAcksOnlyProgress(t *testing.T) {
	in := newIncoming()
	if _, due := in.due(); due {
		t.Error("an ack without an offset would make the node forget what was never delivered")
	}
	in.take(protocol.Message{From: "a", ID: "1", Offset: offset(5)}, protocol.Offset{})
	in.advance(offset(3))
	if got, due := in.due(); !due || got != offset(5) {
		t.Errorf("ack is %v: an older pong moved the client back", got)
	}
	if _, due := in.due(); due {
		t.Error("acked the same offset twice")
	}
	in.advance(offset(8))
	if got, _ := in.due(); got != offset(8) {
		t.Errorf("ack is %v: an idle client would resume from too far back", got)
	}
}

func TestIncomingForgetsTheOldestFirst(t *testing.T) {
	in := newIncoming()
	for i := range rememberedMessages + 1 {
		in.take(protocol.Message{From: "a", ID: strconv.Itoa(i), Offset: offset(int64(i + 1))}, protocol.Offset{})
	}
	if len(in.seen) != rememberedMessages {
		t.Errorf("remembers %d messages: the filter must stay bounded", len(in.seen))
	}
	if in.take(protocol.Message{From: "a", ID: "1", Offset: offset(1 << 30)}, protocol.Offset{}) == fresh {
		t.Error("the second oldest message was shown again while the filter had room for it")
	}
}
