package balancer

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/balancer/roll"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// silenced is a book of nodes that all stopped to speak while Redis answered.
func silenced(p policy.Policy, nodes int) *roll.Book {
	book := &roll.Book{}
	var beats []load.Heartbeat
	for i := range nodes {
		id := fleet.NodeID(fmt.Sprintf("chat-%03d", i))
		beats = append(beats, load.Heartbeat{Fleet: chat, Node: id, Incarnation: 1, Sequence: 1, State: fleet.Serving, AdminURL: string(id), At: born})
	}
	for second := range 5 {
		book.Read(p, born.Add(time.Duration(second)*time.Second), beats)
	}
	return book
}

func over(book *roll.Book, nodes int) (dead int) {
	for i := range nodes {
		if book.Over(fleet.NodeID(fmt.Sprintf("chat-%03d", i))) {
			dead++
		}
	}
	return dead
}

func TestProbesOfManySuspects(t *testing.T) {
	const timeout = 500 * time.Millisecond
	answer := func(after time.Duration) func(context.Context, string) error {
		return func(ctx context.Context, _ string) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(after):
				return nil
			}
		}
	}
	tests := map[string]struct {
		suspects int
		probe    func(context.Context, string) error
		dead     int
	}{
		"slow but alive, more than fit at once":             {100, answer(400 * time.Millisecond), 0},
		"slow but alive, more than fit into the whole":      {500, answer(400 * time.Millisecond), 0},
		"hanging, more than fit at once":                    {100, answer(time.Hour), 100},
		"refusing, so many that all are asked all the same": {500, func(context.Context, string) error { return context.Canceled }, 500},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := policy.Default()
				book := silenced(p, test.suspects)
				began := time.Now()
				judge(t.Context(), book, p, timeout, test.probe)
				if dead := over(book, test.suspects); dead != test.dead {
					t.Errorf("%d of %d are dead, want %d: who was never asked would lose its shards", dead, test.suspects, test.dead)
				}
				if took := time.Since(began); took > rounds*timeout {
					t.Errorf("the probes took %s, want at most %s: the tick waits for them", took, rounds*timeout)
				}
			})
		})
	}
}

func TestNodesThatWereNotAskedAreAskedNextTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const suspects = 4 * probesAtOnce
		p := policy.Default()
		book := silenced(p, suspects)
		hang := func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		}
		judge(t.Context(), book, p, time.Second, hang)
		first := over(book, suspects)
		if first == 0 || first == suspects {
			t.Fatalf("%d of %d are dead after one round, want those that were asked for the whole timeout", first, suspects)
		}
		judge(t.Context(), book, p, time.Second, hang)
		if again := over(book, suspects); again <= first {
			t.Errorf("%d are dead after %d: the others are never found", again, first)
		}
	})
}

func TestProcessThatStopsJudgesNobody(t *testing.T) {
	p := policy.Default()
	book := silenced(p, 3)
	ctx, cancel := context.WithCancel(t.Context())
	judge(ctx, book, p, time.Second, func(ctx context.Context, _ string) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	if dead := over(book, 3); dead != 0 {
		t.Errorf("%d nodes are dead because the balancer stops", dead)
	}
}
