package outbox

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// mustBlock expects a message of sender a to be turned away.
func (d *desk) mustBlock(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := d.send("a", 0, id); !errors.Is(err, ErrHeld) {
			t.Fatalf("%s got %v: want %v", id, err, ErrHeld)
		}
	}
}

func TestASenderWhoseRefusedMessageWasSettledElsewhereGoesOn(t *testing.T) {
	for settled := 1; settled <= 3; settled++ {
		t.Run(fmt.Sprint(settled, " of its messages were settled"), func(t *testing.T) {
			d := newDesk(generous())
			all := []string{"a1", "a2", "a3", "a4"}
			d.refuse("a", 0, all[0], d.now)
			d.mustBlock(t, all[1:]...)
			d.mustSend(t, "a", all[settled:]...)
			d.flush()
			if errs := d.told["a4"]; len(errs) != 1 || errs[0] != nil {
				t.Fatalf("a4 got %v: want it to be accepted", errs)
			}
		})
	}
}

func TestWhatFailedBehindASettledMessageIsNotOvertaken(t *testing.T) {
	d := newDesk(generous())
	d.mustSend(t, "a", "a1", "a2", "a3")
	d.feed()
	d.answer(t, "a1", errRefused)
	d.mustBlock(t, "a4")
	// Another node took a1. The next of its sender is a2, and not a4, which the hold turned away first.
	d.mustSend(t, "a", "a2", "a3", "a4")
	d.pass(probeLast)
	want(t, d.feed(), "a2")
}

func TestWhatAnEarlierHoldTurnedAwayIsNotOvertaken(t *testing.T) {
	d := newDesk(generous())
	d.limits.pair = 2
	d.mustSend(t, "a", "a1", "a2")
	if err := d.send("a", 0, "a3"); !errors.Is(err, ErrFull) {
		t.Fatalf("a3 got %v: want %v", err, ErrFull)
	}
	d.mustBlock(t, "a4")
	d.feed()
	d.answer(t, "a1", errRefused)
	// Another node took a1 and a2.
	d.mustSend(t, "a", "a3", "a4")
	d.pass(probeLast)
	want(t, d.feed(), "a3")
}

func TestAMessageThatFailsAfterItCameAgainIsNotOvertaken(t *testing.T) {
	d := newDesk(generous())
	d.mustSend(t, "a", "a1")
	d.feed()
	d.refuse("a", 0, "a2", d.now)
	d.mustBlock(t, "a1")
	d.answer(t, "a1", errRefused)
	// This is the same turn as the a1 that was turned away before: a1 is still to come, in the next turn.
	d.mustBlock(t, "a2")
	d.mustSend(t, "a", "a1", "a2")
	d.pass(probeLast)
	want(t, d.feed(), "a1")
}

func TestWhatFailsInTheMiddleOfATurnIsNotOvertaken(t *testing.T) {
	d := newDesk(generous())
	d.mustSend(t, "a", "a1", "a2", "a3")
	d.feed()
	// Another node took a1, and the turn that begins with a2 is under way when the first a1 fails here.
	d.mustSend(t, "a", "a2")
	d.answer(t, "a1", errRefused)
	d.mustBlock(t, "a3")
	d.mustSend(t, "a", "a2", "a3")
	d.pass(probeLast)
	want(t, d.feed(), "a2")
}

func TestAHoldRemembersABoundedNumberOfMessages(t *testing.T) {
	d := newDesk(generous())
	d.refuse("a", 0, "a0", d.now)
	for i := range 2 * mostSeen {
		d.mustBlock(t, fmt.Sprint("other ", i))
	}
	for _, p := range d.pairs {
		if len(p.seen) > mostSeen {
			t.Fatalf("%d messages are remembered: one client fills the memory", len(p.seen))
		}
	}
}

func TestASenderThatIsRefusedTimeAndAgainCostsOneHold(t *testing.T) {
	d := newDesk(generous())
	for range 100 {
		d.refuse("a", 0, "a1", d.now)
		d.pass(time.Millisecond)
	}
	for range 100 {
		d.mustSend(t, "a", "a1")
		d.flush()
		d.refuse("a", 0, "a1", d.now)
	}
	if n := d.holds.len(); n != 1 {
		t.Fatalf("one pair stands %d times in the queue of holds: a client that repeats one id fills the memory", n)
	}
	d.pass(holdFor - time.Second)
	d.refuse("a", 0, "a1", d.now)
	d.pass(2 * time.Second)
	d.mustBlock(t, "a2")
	d.pass(holdFor)
	if len(d.pairs) != 0 || d.holds.len() != 0 {
		t.Fatalf("%d pairs and %d holds are remembered for nothing", len(d.pairs), d.holds.len())
	}
}

func TestAMessageThatIsDoneKeepsNothingInMemory(t *testing.T) {
	d := newDesk(generous())
	d.mustSend(t, "a", "stuck", "behind")
	d.feed()
	e := &entry{message: Message{Sender: "b", ID: "b1", Value: make([]byte, 1<<10)}, done: func(Receipt, error) {}}
	if err := d.push(e, d.now); err != nil {
		t.Fatal(err)
	}
	d.feed()
	d.answer(t, "b1", nil)
	if e.message.Value != nil || e.done != nil {
		t.Fatal("a message that was accepted keeps its bytes behind an older one, and no bound counts them")
	}
}

func TestAScheduleThatIsClosedLeavesTheProducersMessagesToTheProducer(t *testing.T) {
	d := newDesk(generous())
	d.mustSend(t, "a", "a1", "a2")
	want(t, d.feed(), "a1")
	d.mustSend(t, "b", "b1")
	d.call(d.close())
	if d.told["a1"] != nil {
		t.Fatalf("a1 got %v while the producer has it: its sender sends it again, and it may be there", d.told["a1"])
	}
	for _, id := range []string{"a2", "b1"} {
		if errs := d.told[id]; len(errs) != 1 || !errors.Is(errs[0], ErrClosed) {
			t.Fatalf("%s got %v: want %v", id, errs, ErrClosed)
		}
	}
	if ids := d.feed(); ids != nil {
		t.Fatalf("the producer got %q after their senders heard that they failed", ids)
	}
	d.answer(t, "a1", nil)
	if ids := d.feed(); ids != nil {
		t.Fatalf("the producer got %q after the close", ids)
	}
	d.call(d.abandon())
	if errs := d.told["a1"]; len(errs) != 1 || errs[0] != nil {
		t.Fatalf("a1 got %v: want it to be accepted, once", errs)
	}
}
