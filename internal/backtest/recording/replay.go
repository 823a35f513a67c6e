package recording

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
)

// replay is a replay under way.
type replay struct {
	out    Outcome
	change Override
	// recorded is the fleet's own policy at this frame, and policy the one that is tried out.
	recorded, policy policy.Policy
	memory           decide.State
	begun            bool
	// last is the frame that waits to be told how long it lasted.
	last    *step
	agreed  int
	compare int
	curve   curve
}

// Replay decides on every recorded reading, with the recorded policy or the one that change makes of it. The fleet that was
// recorded reacts to nothing that is decided here: Outcome tells what that leaves to say. A recording that ends early is no
// error; Outcome.Incomplete says so in words.
func Replay(ctx context.Context, r *Reader, change Override) (Outcome, error) {
	if change == nil {
		change = func(p policy.Policy) (policy.Policy, error) { return p, nil }
	}
	p := &replay{out: Outcome{Header: r.Header()}, change: change}
	if err := p.under(r.Header().Policy); err != nil {
		return Outcome{}, err
	}
	for ctx.Err() == nil {
		f, err := r.Next()
		var early *IncompleteError
		switch {
		case errors.Is(err, io.EOF):
			return p.finish()
		case errors.As(err, &early):
			p.out.Incomplete = early.Error()
			return p.finish()
		case err != nil:
			return Outcome{}, err
		}
		if err := p.frame(f); err != nil {
			return Outcome{}, err
		}
	}
	return Outcome{}, ctx.Err()
}

// under goes on with what change makes of a recorded policy.
func (p *replay) under(recorded policy.Policy) error {
	tried, err := p.change(recorded)
	if err != nil {
		return fmt.Errorf("policy of the replay: %w", err)
	}
	p.recorded, p.policy = recorded, tried
	p.out.Policy = tried
	for _, change := range Differences(recorded, tried) {
		if !slices.Contains(p.out.Changed, change) {
			p.out.Changed = append(p.out.Changed, change)
		}
	}
	return nil
}

func (p *replay) frame(f Frame) error {
	if f.Policy != nil {
		if err := p.under(*f.Policy); err != nil {
			return err
		}
	}
	if !p.begun {
		p.begun = true
		p.out.From = f.Model.Now
		p.memory = p.begin(f)
	}
	d, memory := decide.Next(p.policy, p.memory, f.Model)
	p.memory = memory
	if f.Decision.Sequence > 0 {
		p.compare++
		if f.Decision.Desired == d.Desired {
			p.agreed++
		}
	}
	p.settle(f.Model.Now)
	p.last = &step{
		at: f.Model.Now, asked: asked(f), decided: f.Decision.Desired, replayed: d.Desired,
		health: examine(p.recorded, f.Model),
	}
	p.out.Frames++
	p.out.Until = f.Model.Now
	return nil
}

// begin is the memory to start with: the leader's own where it was recorded, else of the decision that stood.
func (p *replay) begin(f Frame) decide.State {
	var s decide.State
	if d := f.Decision; d.Sequence > 0 {
		s = decide.Resume(d)
	}
	if body := p.out.Header.Memory; len(body) > 0 {
		kept, err := decide.DecodeState(body)
		switch {
		case err != nil:
			p.out.Cold = "the leader's memory that was recorded cannot be used: " + err.Error()
		case kept.Last.Sequence+1 < f.Decision.Sequence:
			p.out.Cold = "the leader's memory that was recorded is older than the first decision"
		default:
			s = kept
		}
	} else {
		p.out.Cold = "the leader's memory was not recorded, so that the replay begins with nothing learned"
	}
	return decide.Revive(p.policy, s, f.Model.Now)
}

// missing is how many readings may lack before the time between two is not counted any more.
const missing = 10

// settle counts the frame that waits, now that it is known how long it lasted.
func (p *replay) settle(now time.Time) {
	if p.last == nil {
		return
	}
	lasted := now.Sub(p.last.at)
	most := missing * p.out.Header.Every
	switch {
	case lasted < 0:
		lasted = 0
	case lasted > most:
		p.out.Gaps++
		lasted = p.out.Header.Every
	}
	p.count(*p.last, lasted.Seconds())
}

func (p *replay) finish() (Outcome, error) {
	if p.last == nil {
		return Outcome{}, errors.New("the recording holds no reading: there is nothing to replay")
	}
	p.settle(p.last.at.Add(p.out.Header.Every))
	if p.compare > 0 {
		p.out.Agreed = float64(p.agreed) / float64(p.compare)
	}
	p.out.Series = p.curve.series(p.out.From)
	return p.out, nil
}

// asked is the count that the fleet was asked for at this reading.
func asked(f Frame) int {
	if c := f.Model.Cluster; c != nil && c.Spec > 0 {
		return c.Spec
	}
	if f.Decision.Sequence == 0 {
		return running(f.Model)
	}
	return f.Decision.Served(f.Model.Now)
}
