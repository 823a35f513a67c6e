package recording

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// Eye looks at one fleet as its balancer does.
type Eye interface {
	// Look reads once; without an answer the model says that it is not reachable.
	Look(ctx context.Context) Sight
	// Memory is what the fleet's leader remembers, nil where it has stored nothing.
	Memory(ctx context.Context) ([]byte, error)
}

// Sight is one look.
type Sight struct {
	Model    load.Fleet
	Decision decision.Decision
	// Policy is the fleet's at this time.
	Policy policy.Policy
}

// Recorder writes down what an Eye sees.
type Recorder struct {
	Fleet fleet.ID
	// Every is the time between two looks.
	Every time.Duration
	// Shards keeps the nodes' lists of shards, which make a file several times as long and which no count depends on.
	Shards bool
	// Progress is told of each look; optional.
	Progress func(Progress)
}

// Progress is how far a recorder is.
type Progress struct {
	Frames int
	Bytes  int64
	// From and Until are the first and the last reading, zero before there was one.
	From, Until time.Time
	// Nodes, Clients and Desired are those of the last reading; Reachable says that it could be made.
	Nodes, Clients, Desired int
	Reachable               bool
	// Skipped counts readings that could not be written, Problem says what was wrong with the last of them.
	Skipped int
	Problem string
}

// Run records until ctx ends, and then completes the file, which the caller closes. It waits for the first reading as long as
// that takes. A reading that cannot be written down is left out and told; a file that cannot be written is an error.
func (r Recorder) Run(ctx context.Context, eye Eye, file io.Writer) (Progress, error) {
	memory, err := eye.Memory(ctx)
	if err != nil {
		return Progress{}, err
	}
	ticker := time.NewTicker(r.Every)
	defer ticker.Stop()
	run := recorderRun{Recorder: r, memory: memory, file: file}
	for ctx.Err() == nil {
		s := eye.Look(ctx)
		if ctx.Err() != nil {
			break // whether the look was cut short is not known
		}
		if err := run.take(s); err != nil {
			return run.progress, err
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	if run.out == nil {
		return run.progress, nil
	}
	err = run.out.Close()
	run.progress.Bytes = run.out.Bytes()
	return run.progress, err
}

// recorderRun is a recording under way.
type recorderRun struct {
	Recorder
	memory   json.RawMessage
	file     io.Writer
	out      *Writer
	policy   policy.Policy
	progress Progress
}

func (r *recorderRun) take(s Sight) error {
	p := &r.progress
	p.Nodes, p.Desired, p.Reachable, p.Clients = len(s.Model.Nodes), s.Decision.Desired, s.Model.Reachable, 0
	for i := range s.Model.Nodes {
		p.Clients += s.Model.Nodes[i].Connections
	}
	if !s.Model.Now.IsZero() {
		if err := r.write(s); err != nil {
			return err
		}
	}
	if r.Progress != nil {
		r.Progress(*p)
	}
	return nil
}

func (r *recorderRun) write(s Sight) error {
	f := Frame{Model: s.Model, Decision: s.Decision}
	if r.out == nil {
		out, err := NewWriter(r.file, Header{
			Version: Version, Fleet: r.Fleet, Began: s.Model.Now, Every: r.Every, Source: Heartbeats, Shards: r.Shards,
			Policy: s.Policy, Memory: r.memory,
		})
		if err != nil {
			return err
		}
		r.out, r.policy, r.progress.From = out, s.Policy, s.Model.Now
	}
	if s.Policy != r.policy {
		f.Policy = &s.Policy
	}
	body, err := f.encode(r.out.header)
	if err != nil {
		r.progress.Skipped++
		r.progress.Problem = err.Error()
		return nil //nolint:nilerr // one reading that nobody could decide on is told, and is no reason to stop
	}
	if err := r.out.write(f, body); err != nil {
		return err
	}
	r.policy = s.Policy
	r.progress.Frames, r.progress.Bytes, r.progress.Until = r.out.Frames(), r.out.Bytes(), s.Model.Now
	return nil
}
