package recording

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

const (
	// auditEvery is the time between two frames that are made of decisions.
	auditEvery = 15 * time.Second
	// mostNodes is above every fleet; inputs that claim more are not believed.
	mostNodes = 100_000
	// mostFraction and mostLatency are above what a heartbeat can say.
	mostFraction = 100
	mostLatency  = 24 * time.Hour
	// MostAudit is the longest time that a recording of decisions spans, which bounds the file.
	MostAudit = 100 * 24 * time.Hour
	// aged is how long a node that is made up has served: long enough to teach what a client costs.
	aged = time.Hour
)

// FromDecisions writes a recording of what a fleet's decisions say of it, which is coarse: inputs are sums and means, made when
// the count changed. p is the policy that the file will name, since decisions do not tell theirs. The decisions may come in any
// order; those whose inputs no fleet has, or that are over MostAudit older than the newest, are left out, and counted as skipped.
func FromDecisions(ctx context.Context, file io.Writer, id fleet.ID, decisions []decision.Decision, p policy.Policy) (Progress, error) {
	known, skipped := sound(id, decisions)
	if len(known) == 0 {
		return Progress{Skipped: skipped}, errors.New("the audit log holds no decision for " + id.String() + " of that time: nothing can be recorded")
	}
	newest := known[len(known)-1]
	p.Kind, p.Mode = policy.Kind(newest.Policy), policy.Mode(newest.Mode)
	began := madeAt(known[0])
	out, err := NewWriter(file, Header{
		Version: Version, Fleet: id, Began: began, Every: auditEvery, Source: Audit, Policy: p,
		Coarse: fmt.Sprintf("the frames are rebuilt from %d decisions: every node carries the same, hot ones are lost, between two decisions the load is a straight line, "+
			"and the policy is the one that was given to the recorder", len(known)),
	})
	if err != nil {
		return Progress{}, err
	}
	progress := Progress{From: began, Skipped: skipped, Reachable: true}
	for i, d := range known {
		next := d
		if i+1 < len(known) {
			next = known[i+1]
		}
		if err := between(ctx, out, d, next, began); err != nil {
			return progress, err
		}
	}
	progress.Until, progress.Frames, progress.Desired = madeAt(newest), out.Frames(), newest.Desired
	err = out.Close()
	progress.Bytes = out.Bytes()
	return progress, err
}

// sound are the fleet's decisions in their order, each once.
func sound(id fleet.ID, decisions []decision.Decision) (known []decision.Decision, skipped int) {
	sorted := slices.Clone(decisions)
	slices.SortStableFunc(sorted, func(a, b decision.Decision) int { return madeAt(a).Compare(madeAt(b)) })
	for _, d := range sorted {
		switch last := len(known) - 1; {
		case d.Fleet != id || !believable(d):
			skipped++
		case last >= 0 && madeAt(known[last]).Equal(madeAt(d)):
			known[last] = d // told twice
		default:
			known = append(known, d)
		}
	}
	young := func(d decision.Decision) bool { return madeAt(known[len(known)-1]).Sub(madeAt(d)) <= MostAudit }
	if first := slices.IndexFunc(known, young); first > 0 {
		known, skipped = known[first:], skipped+first
	}
	return known, skipped
}

// madeAt is when the inputs were read.
func madeAt(d decision.Decision) time.Time { return d.RefreshedAt }

func believable(d decision.Decision) bool {
	in := d.Inputs
	for _, n := range []int{in.Serving, in.Starting, in.Leaving, in.Draining, in.Stale, in.Stuck} {
		if n < 0 || n > mostNodes {
			return false
		}
	}
	for _, bound := range []struct{ value, most float64 }{
		{in.CPU, mostFraction},
		{in.Memory, mostFraction},
		{float64(in.Connections), math.MaxInt32},
		{in.Refused, math.MaxInt32},
		{in.MessagesPerSecond, math.MaxInt32},
		{float64(in.P95Latency), float64(mostLatency)},
		{float64(in.InboxLag), float64(mostLatency)},
	} {
		if !(bound.value >= 0 && bound.value <= bound.most) {
			return false
		}
	}
	return d.Sequence > 0 && !madeAt(d).IsZero() && inTime(madeAt(d))
}

// between writes the frames from one decision until the next; at the last one a single frame.
func between(ctx context.Context, out *Writer, d, next decision.Decision, began time.Time) error {
	from, until := madeAt(d), madeAt(next)
	for at := from; ctx.Err() == nil; at = at.Add(auditEvery) {
		if at.After(from) && !at.Before(until) {
			return nil
		}
		part := 0.0
		if span := until.Sub(from); span > 0 {
			part = float64(at.Sub(from)) / float64(span)
		}
		f := Frame{Model: rebuilt(d, mixed(d.Inputs, next.Inputs, part), at, began), Decision: d}
		if err := out.Write(f); err != nil {
			return err
		}
		if from.Equal(until) {
			return nil
		}
	}
	return ctx.Err()
}

// mixed is the load on the way from one reading to the next. Nodes are those of the first.
func mixed(a, b decision.Inputs, part float64) decision.Inputs {
	mix := func(x, y float64) float64 { return x + (y-x)*part }
	a.CPU, a.Memory = mix(a.CPU, b.CPU), mix(a.Memory, b.Memory)
	a.Connections = int(math.Round(mix(float64(a.Connections), float64(b.Connections))))
	a.Refused, a.MessagesPerSecond = mix(a.Refused, b.Refused), mix(a.MessagesPerSecond, b.MessagesPerSecond)
	a.P95Latency = time.Duration(mix(float64(a.P95Latency), float64(b.P95Latency)))
	a.InboxLag = time.Duration(mix(float64(a.InboxLag), float64(b.InboxLag)))
	return a
}

// rebuilt is a fleet whose nodes are all alike.
func rebuilt(d decision.Decision, in decision.Inputs, at, began time.Time) load.Fleet {
	f := load.Fleet{ID: d.Fleet, Now: at, Reachable: true, Pending: in.Starting + in.Stuck, Stuck: in.Stuck}
	add := func(state fleet.State) *load.Node {
		f.Nodes = append(f.Nodes, load.Node{State: state, Since: began.Add(-aged), Heartbeat: load.Heartbeat{
			Version: load.Version, Fleet: d.Fleet, Node: fleet.NodeID(fmt.Sprintf("node-%06d", len(f.Nodes))), State: state, Incarnation: 1,
			Sequence: uint64(max(0, at.Sub(began)) / auditEvery), Uptime: aged + max(0, at.Sub(began)), At: at,
		}})
		return &f.Nodes[len(f.Nodes)-1]
	}
	for i := range in.Serving {
		n := add(fleet.Serving)
		n.CPU, n.Memory, n.P95Latency, n.InboxLag = in.CPU, in.Memory, in.P95Latency, in.InboxLag
		n.Connections = in.Connections * (i + 1) / in.Serving
		n.Connections -= in.Connections * i / in.Serving
		n.MessagesPerSecond, n.RefusedPerSecond = in.MessagesPerSecond/float64(in.Serving), in.Refused/float64(in.Serving)
		n.Stale = i < in.Stale
	}
	for range in.Leaving {
		add(fleet.Leaving)
	}
	for range in.Draining {
		add(fleet.Draining)
	}
	return f
}
