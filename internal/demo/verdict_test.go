package demo

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/demo/actuator"
	"github.com/tidegate/tidegate/internal/demo/swarm"
	"github.com/tidegate/tidegate/internal/ledger"
)

func good() *outcome {
	return &outcome{
		books: ledger.Report{Sent: 10, Accepted: 10, Received: 10},
		crowd: swarm.Stats{Moves: 3},
		fleet: actuator.Summary{
			Peak: 5, Removed: 3,
			Timeline: []actuator.Point{{Ready: 2}, {Ready: 5}, {Ready: 2}},
		},
		drain: 1234 * time.Millisecond, urgent: "critical (hotspot)",
	}
}

func TestADemoPassesOnlyWhenNothingWasLostAndTheFleetFollowed(t *testing.T) {
	if err := good().problems(); err != nil {
		t.Fatalf("a good day fails: %v", err)
	}
	cases := []struct {
		name  string
		spoil func(*outcome)
		want  string
	}{
		{"a lost message", func(o *outcome) { o.books.Missing = 1 }, "1 accepted messages were lost"},
		{"an inversion", func(o *outcome) { o.books.Inversions = 2 }, "2 messages arrived out of order"},
		{"a message shown twice", func(o *outcome) { o.books.Duplicates = 1 }, "shown twice"},
		{"a message from nowhere", func(o *outcome) { o.books.Strange = 1 }, "nobody sent"},
		{"a duplicate after an ack", func(o *outcome) { o.crowd.Duplicates = 4 }, "4 messages came again"},
		{"nothing accepted at all", func(o *outcome) { o.books = ledger.Report{} }, "no message was accepted"},
		{"a fleet that never grew", func(o *outcome) { o.fleet.Peak = 4 }, "grew to 4 nodes only"},
		{"a fleet that never shrank", func(o *outcome) { o.fleet.Timeline = o.fleet.Timeline[:2] }, "shrank to 5 nodes only"},
		{"no drain", func(o *outcome) { o.fleet.Removed = 0 }, "no node left"},
		{"drains without clients on them", func(o *outcome) { o.crowd.Moves = 0 }, "no client moved"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := good()
			c.spoil(o)
			if err := o.problems(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("verdict is %v: the demo would pass on %s", err, c.name)
			}
		})
	}
}

func TestTheTableHoldsTheFiguresOfTheDesign(t *testing.T) {
	var out bytes.Buffer
	o := good()
	o.killed = "socket-3"
	o.write(&out)
	for _, row := range []string{"peak nodes", "messages sent", "delivered", "lost", "reconnects", "longest drain", "1.23s", "socket-3 (kill -9)"} {
		if !strings.Contains(out.String(), row) {
			t.Errorf("the table does not show %q:\n%s", row, out.String())
		}
	}
}
