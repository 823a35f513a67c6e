package actuator

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/logkey"
)

// victimsTimeout bounds asking who should leave; Kubernetes would not wait long for a webhook either.
const victimsTimeout = 2 * time.Second

// active are the nodes that are not under removal: what a ReplicaSet counts.
func (a *Actuator) active() []NodeHandle {
	var out []NodeHandle
	for _, node := range a.c.Nodes.Running() {
		if _, leaving := a.removing[node.ID]; !leaving {
			out = append(out, node)
		}
	}
	return out
}

// keep starts or removes nodes until as many are active as were asked for, as a ReplicaSet does. Nodes that died by
// themselves are replaced, those that never became ready with a growing pause: then retry fires when it is over.
func (a *Actuator) keep(ctx context.Context) (retry <-chan time.Time) {
	if ctx.Err() != nil {
		return nil
	}
	active := a.active()
	a.notice(active)
	switch missing := a.spec - len(active); {
	case missing > 0:
		retry = a.start(ctx, missing)
	case missing < 0:
		a.remove(ctx, active, -missing)
	}
	a.record()
	return retry
}

// notice finds the nodes that died by themselves.
func (a *Actuator) notice(active []NodeHandle) {
	present := make(map[fleet.NodeID]struct{}, len(active))
	for _, node := range active {
		present[node.ID] = struct{}{}
		if node.Ready && !a.known[node.ID] {
			a.restarts.healthy()
		}
		a.known[node.ID] = a.known[node.ID] || node.Ready
	}
	for id, everReady := range a.known {
		_, alive := present[id]
		_, leaving := a.removing[id]
		if alive || leaving {
			continue
		}
		delete(a.known, id)
		a.trail.crashed()
		a.restarts.died(a.c.Now(), everReady)
		a.c.Logger.Warn("a node died by itself and is replaced", slog.String(logkey.Node, string(id)), slog.Bool("was_ready", everReady))
	}
}

// start begins what is missing, without the replacements that must still wait.
func (a *Actuator) start(ctx context.Context, missing int) (retry <-chan time.Time) {
	held, wait := a.restarts.held(a.c.Now())
	held = min(held, missing)
	for range missing - held {
		id, err := a.c.Nodes.Start(ctx)
		if err != nil {
			a.restarts.died(a.c.Now(), false)
			a.c.Logger.Warn("a node cannot be started and is tried again", slog.Any(logkey.Err, err))
			held, wait = a.restarts.held(a.c.Now())
			break
		}
		// Known from now on, so that one that dies before anybody looks is a death too.
		a.known[id] = false
	}
	if held > 0 {
		return time.After(wait)
	}
	a.restarts.replaced()
	return nil
}

// remove takes k nodes off the fleet, each in its own time.
func (a *Actuator) remove(ctx context.Context, active []NodeHandle, k int) {
	asking, cancel := context.WithTimeout(ctx, victimsTimeout)
	nominated, err := a.c.Victims.Victims(asking, k)
	cancel()
	if err != nil {
		a.c.Logger.Warn("nobody says who should leave, the newest nodes go", slog.Any(logkey.Err, err))
	}
	for _, id := range leaving(active, k, nominated) {
		a.removing[id] = struct{}{}
		a.c.Logger.Info("a node is removed", slog.String(logkey.Node, string(id)))
		began := time.Now()
		go func() {
			err := a.c.Nodes.Remove(ctx, id)
			a.gone <- removal{id: id, took: time.Since(began), err: err}
		}()
	}
}

// removed closes the books on a node that left.
func (a *Actuator) removed(r removal) {
	delete(a.removing, r.id)
	delete(a.known, r.id)
	a.trail.drained(r.took)
	if r.err != nil {
		a.c.Logger.Warn("a node did not leave in peace", slog.String(logkey.Node, string(r.id)), slog.Any(logkey.Err, r.err))
		return
	}
	a.c.Logger.Info("a node is gone", slog.String(logkey.Node, string(r.id)), slog.Duration(logkey.Elapsed, r.took))
}

func (a *Actuator) record() {
	active := a.active()
	point := Point{At: a.c.Now(), Desired: a.spec, Replicas: len(active), Leaving: len(a.removing)}
	for _, node := range active {
		if node.Ready {
			point.Ready++
		}
	}
	a.trail.add(point)
}

// leaving picks k nodes in the order in which a ReplicaSet deletes: nodes that are not ready go first, whatever
// anybody nominates; then the nominated ones in their order; then the newest.
func leaving(active []NodeHandle, k int, nominated []fleet.NodeID) []fleet.NodeID {
	rank := make(map[fleet.NodeID]int, len(nominated))
	for i, id := range nominated {
		if _, twice := rank[id]; !twice {
			rank[id] = i
		}
	}
	place := func(id fleet.NodeID) int {
		if i, ok := rank[id]; ok {
			return i
		}
		return math.MaxInt
	}
	order := slices.Clone(active)
	slices.SortFunc(order, func(x, y NodeHandle) int {
		if x.Ready != y.Ready {
			if y.Ready {
				return -1
			}
			return 1
		}
		return cmp.Or(
			cmp.Compare(place(x.ID), place(y.ID)),
			y.StartedAt.Compare(x.StartedAt),
			strings.Compare(string(x.ID), string(y.ID)))
	})
	out := make([]fleet.NodeID, 0, k)
	for _, node := range order[:min(k, len(order))] {
		out = append(out, node.ID)
	}
	return out
}
