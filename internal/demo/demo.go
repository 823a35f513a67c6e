package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	// openTimeout is how long the town may take until its first nodes serve.
	openTimeout = 30 * time.Second
	// settleTimeout is how long the last messages and drains may take after the day.
	settleTimeout = 25 * time.Second
	// pollEvery is how often the demo looks at its own state while it waits.
	pollEvery = 100 * time.Millisecond
)

// Run plays the day and prints its verdict to out. It returns an error when a message was lost or inverted, when the
// fleet did not grow and shrink, or when something could not be started. Logs and secrets are in a temporary folder,
// which is kept, and named, only after an error.
func Run(ctx context.Context, o Options, out io.Writer) error {
	dir, logs, err := newDir()
	if err != nil {
		return err
	}
	t, err := newTown(ctx, o, dir, logs)
	if err != nil {
		return errors.Join(err, logs.Close(), os.RemoveAll(dir))
	}
	if err := t.live(ctx, out); err != nil {
		return fmt.Errorf("%w\nlogs are in %s", errors.Join(err, logs.Close()), dir)
	}
	return errors.Join(logs.Close(), os.RemoveAll(dir))
}

// live runs the town for the length of the play.
func (t *town) live(ctx context.Context, out io.Writer) error {
	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- t.run(runCtx) }()
	playCtx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	played := make(chan error, 1)
	go func() { played <- t.play(playCtx, out) }()

	select {
	case err := <-ended:
		// A part failed: what the play says then is only that it was cut short.
		abort(err)
		<-played //nolint:errcheck // see above
		return errors.Join(err, t.close(ctx))
	case err := <-played:
		stop()
		return errors.Join(err, <-ended, t.close(ctx))
	}
}

// play is the demo as a person sees it.
func (t *town) play(ctx context.Context, out io.Writer) error {
	say(out, "Tidegate demo: a day of %d clients in %s, on embedded Redis and Kafka.", t.o.Clients, t.o.Duration)
	say(out, "Status page: http://%s/\n", t.balancer.Listen)
	if err := t.open(ctx); err != nil {
		return err
	}
	result := &outcome{}
	if err := t.follow(ctx, newProgress(out, t.o.Plain), result); err != nil {
		return err
	}
	t.settle(ctx)
	result.books, result.crowd = t.book.Report(), t.swarm.Stats()
	result.fleet, result.drain = t.actuator.Summary(), t.nodes.LongestDrain()
	if ctx.Err() != nil {
		return errors.New("interrupted before the day was over: there is no verdict")
	}
	say(out, "")
	result.write(out)
	problems := result.problems()
	if problems == nil {
		say(out, "The fleet followed its load, and every accepted message arrived once and in order.")
	} else {
		say(out, "Something went wrong: %v", result.books)
	}
	if t.o.Keep {
		say(out, "Staying up for http://%s/ until you press Ctrl-C.", t.balancer.Listen)
		<-ctx.Done()
	}
	return problems
}

// open waits for the first nodes.
func (t *town) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	ready := func() bool {
		count := 0
		for _, node := range t.nodes.Running() {
			if node.Ready {
				count++
			}
		}
		return count >= leastNodes
	}
	if !until(ctx, ready) {
		return fmt.Errorf("the first %d nodes did not serve within %s", leastNodes, openTimeout)
	}
	return nil
}

// settle lets the last messages arrive and the last nodes leave.
func (t *town) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	clients := momentAt(day(), t.o.Clients, t.o.Duration, t.o.Duration).clients
	t.swarm.Want(clients, 0)
	until(ctx, func() bool {
		points := t.actuator.Summary().Timeline
		last := points[len(points)-1]
		return t.swarm.Quiet() && last.Ready <= leastNodes && last.Leaving == 0
	})
}

// until polls a condition; it reports false when ctx ended first.
func until(ctx context.Context, condition func() bool) bool {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		if condition() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

func say(out io.Writer, format string, args ...any) {
	fmt.Fprintf(out, format+"\n", args...) //nolint:errcheck // a closed terminal does not end the demo
}
