package outbox

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/shard"
)

var errRefused = errors.New("the broker refused")

// desk drives a schedule as the outbox does, with a producer whose answers the test decides.
type desk struct {
	*schedule
	now    time.Time
	flying []*entry
	told   map[string][]error
}

func newDesk(l limits) *desk {
	return &desk{schedule: newSchedule(l), now: time.Unix(1_700_000_000, 0), told: map[string][]error{}}
}

func generous() limits {
	return limits{pair: 8, messages: 100, bytes: 1 << 20, flying: 4, timeout: 5 * time.Second}
}

func (d *desk) send(sender string, id shard.ID, message string) error {
	e := &entry{message: Message{Sender: sender, ID: message, Shard: id}}
	e.done = func(_ Receipt, err error) { d.told[message] = append(d.told[message], err) }
	return d.push(e, d.now)
}

func (d *desk) feed() []string {
	var ids []string
	for e, _ := d.next(d.now); e != nil; e, _ = d.next(d.now) {
		d.flying = append(d.flying, e)
		ids = append(ids, e.message.ID)
	}
	return ids
}

func (d *desk) answer(t *testing.T, message string, err error) {
	t.Helper()
	at := slices.IndexFunc(d.flying, func(e *entry) bool { return e.message.ID == message })
	if at < 0 {
		t.Fatalf("the producer does not have %q", message)
	}
	e := d.flying[at]
	d.flying = slices.Delete(d.flying, at, at+1)
	d.call(d.resolve(e, Receipt{}, err, d.now))
}

func (d *desk) pass(by time.Duration) {
	d.now = d.now.Add(by)
	d.call(d.expire(d.now))
}

func (d *desk) call(outcomes []outcome) {
	for _, o := range outcomes {
		o.done(o.receipt, o.err)
	}
}

func (d *desk) mustSend(t *testing.T, sender string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := d.send(sender, 0, id); err != nil {
			t.Fatalf("%s was refused: %v", id, err)
		}
	}
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("the producer got %q: want %q", got, want)
	}
}

func TestOneMessageOfASenderIsWithTheProducer(t *testing.T) {
	d := newDesk(generous())
	d.mustSend(t, "a", "a1", "a2", "a3")
	d.mustSend(t, "b", "b1")
	want(t, d.feed(), "a1", "b1")
	d.answer(t, "a1", nil)
	want(t, d.feed(), "a2")
}

func TestAFailureFailsWhatWaitsBehindItInOrder(t *testing.T) {
	d := newDesk(generous())
	var order []string
	for _, id := range []string{"a1", "a2", "a3"} {
		e := &entry{message: Message{Sender: "a", ID: id}, done: func(Receipt, error) { order = append(order, id) }}
		if err := d.push(e, d.now); err != nil {
			t.Fatal(err)
		}
	}
	d.mustSend(t, "b", "b1")
	d.feed()
	d.answer(t, "a1", errRefused)
	want(t, order, "a1", "a2", "a3")
	if d.told["b1"] != nil {
		t.Fatal("another sender's message failed with it")
	}
}

func TestAfterAFailureNothingOvertakesTheFailedMessage(t *testing.T) {
	d := newDesk(generous())
	d.mustSend(t, "a", "a1", "a2")
	d.feed()
	d.answer(t, "a1", errRefused)
	if err := d.send("a", 0, "a3"); !errors.Is(err, ErrHeld) {
		t.Fatalf("a3 was on its way before its sender heard of a1, and got %v: it would arrive before a1", err)
	}
	d.mustSend(t, "a", "a1", "a2", "a3")
	d.pass(time.Second)
	want(t, d.feed(), "a1")
}

func TestARefusedMessageIsNotOvertaken(t *testing.T) {
	tests := map[string]func(t *testing.T, d *desk){
		"for want of room for its sender": func(t *testing.T, d *desk) {
			t.Helper()
			d.limits.pair = 1
			d.mustSend(t, "a", "a1")
			if err := d.send("a", 0, "a2"); !errors.Is(err, ErrFull) {
				t.Fatalf("got %v: want %v", err, ErrFull)
			}
			d.feed()
			d.answer(t, "a1", nil)
		},
		"for want of room in all": func(t *testing.T, d *desk) {
			t.Helper()
			d.limits.messages = 1
			d.mustSend(t, "b", "b1")
			if err := d.send("a", 0, "a2"); !errors.Is(err, ErrFull) {
				t.Fatalf("got %v: want %v", err, ErrFull)
			}
			d.feed()
			d.answer(t, "b1", nil)
			d.limits.messages = 100
		},
		"by the caller": func(_ *testing.T, d *desk) { d.refuse("a", 0, "a2", d.now) },
	}
	for name, refuse := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDesk(generous())
			refuse(t, d)
			if err := d.send("a", 0, "a3"); !errors.Is(err, ErrHeld) {
				t.Fatalf("a3 got %v after a2 was refused: it would arrive before a2", err)
			}
			if err := d.send("a", 1, "other"); err != nil {
				t.Fatalf("another shard waits for nothing, but its message got %v", err)
			}
			d.mustSend(t, "a", "a2")
		})
	}
}

func TestASenderThatGaveUpItsMessageIsHeldForAWhileOnly(t *testing.T) {
	d := newDesk(generous())
	d.refuse("a", 0, "a1", d.now)
	d.pass(holdFor)
	d.mustSend(t, "a", "a2")
	d.feed()
	d.answer(t, "a2", nil)
	if len(d.pairs) != 0 {
		t.Fatalf("%d pairs are remembered for nothing", len(d.pairs))
	}
}

func TestAMessageThatTheProducerKeepsTooLongFailsButIsNotOvertaken(t *testing.T) {
	d := newDesk(generous())
	d.mustSend(t, "a", "a1", "a2")
	d.feed()
	d.pass(d.limits.timeout)
	for _, id := range []string{"a1", "a2"} {
		if errs := d.told[id]; len(errs) != 1 || !errors.Is(errs[0], ErrDeadline) {
			t.Fatalf("%s got %v: want %v once", id, errs, ErrDeadline)
		}
	}
	d.mustSend(t, "a", "a1", "a2")
	if ids := d.feed(); ids != nil {
		t.Fatalf("the producer got %q while it still has the first a1: the two could change places", ids)
	}
	d.answer(t, "a1", nil)
	want(t, d.feed(), "a1")
	if len(d.told["a1"]) != 1 {
		t.Fatal("the first a1 was told twice")
	}
}

func TestAFailedShardIsProbedOneMessageAtATime(t *testing.T) {
	d := newDesk(generous())
	d.mustSend(t, "a", "a1")
	d.feed()
	d.answer(t, "a1", errRefused)
	d.mustSend(t, "b", "b1")
	d.mustSend(t, "c", "c1")
	if ids := d.feed(); ids != nil {
		t.Fatalf("the failed shard got %q at once: each failed batch costs an epoch of the producer", ids)
	}
	if _, pause := d.next(d.now); pause != probeFirst {
		t.Fatalf("the probe is due in %v: want %v", pause, probeFirst)
	}
	d.pass(probeFirst)
	want(t, d.feed(), "b1")
	d.answer(t, "b1", nil)
	want(t, d.feed(), "c1")
}

func TestAShardThatFailsDoesNotHoldUpAnother(t *testing.T) {
	d := newDesk(generous())
	d.mustSend(t, "a", "a1")
	d.feed()
	d.answer(t, "a1", errRefused)
	d.mustSend(t, "b", "b1")
	if err := d.send("b", 1, "b2"); err != nil {
		t.Fatal(err)
	}
	want(t, d.feed(), "b2")
}

func TestAQueueKeepsItsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue[int]
		var model []int
		made := 0
		t.Repeat(map[string]func(*rapid.T){
			"push": func(*rapid.T) { made++; q.push(made); model = append(model, made) },
			"pop": func(*rapid.T) {
				if len(model) > 0 {
					if got := q.pop(); got != model[0] {
						t.Fatalf("got %d: want %d", got, model[0])
					}
					model = model[1:]
				}
			},
			"remove": func(t *rapid.T) {
				item := rapid.IntRange(0, made+1).Draw(t, "item")
				at := slices.Index(model, item)
				if removed := q.remove(item); removed != (at >= 0) {
					t.Fatalf("removed %d: %v", item, removed)
				}
				if at >= 0 {
					model = slices.Delete(model, at, at+1)
				}
			},
			"": func(t *rapid.T) {
				if q.len() != len(model) || len(model) > 0 && q.first() != model[0] {
					t.Fatalf("the queue holds %d items: want %v", q.len(), model)
				}
			},
		})
	})
}
