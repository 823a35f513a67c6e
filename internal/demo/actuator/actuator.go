// Package actuator stands in, in the demo, for the parts of Kubernetes that act on a decision: KEDA's three calls,
// the HPA's formula, the ReplicaSet that keeps the replica count, and (package process) the kubelet.
package actuator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/hpa"
	"github.com/tidegate/tidegate/internal/logkey"
)

// NodeHandle is a node that exists.
type NodeHandle struct {
	ID        fleet.NodeID
	StartedAt time.Time
	// Ready is the node's readiness probe: false while it starts or drains.
	Ready bool
}

// Nodes starts and removes the fleet's nodes. Implementations are safe for concurrent use.
type Nodes interface {
	// Start begins a new node with a name never used before and returns without waiting for it to serve.
	Start(ctx context.Context) (fleet.NodeID, error)
	// Running lists the nodes that exist, those under removal included.
	Running() []NodeHandle
	// Changed is closed at the next change of what Running returns.
	Changed() <-chan struct{}
	// Remove drains a node and ends it as a kubelet would; it returns when the node is gone.
	// When ctx ends the node is ended without waiting for its drain.
	Remove(ctx context.Context, id fleet.NodeID) error
}

// Victims says which nodes should leave first; k is how many will.
type Victims interface {
	Victims(ctx context.Context, k int) ([]fleet.NodeID, error)
}

// Config is what an actuator works with.
type Config struct {
	// Scaler is asked as KEDA asks; Object is the reference it is given.
	Scaler pb.ExternalScalerClient
	Object *pb.ScaledObjectRef
	HPA    hpa.Spec
	// Replicas is spec.replicas at the start.
	Replicas int
	Nodes    Nodes
	Victims  Victims
	// Sync is the HPA's period; 0 is Kubernetes' 15 s.
	Sync time.Duration
	// PushRetry is the first wait before an ended stream is opened again; 0 is KEDA's 2 s.
	PushRetry time.Duration
	Now       func() time.Time
	Logger    *slog.Logger
}

const (
	defaultSync      = 15 * time.Second
	defaultPushRetry = 2 * time.Second
)

// Actuator keeps as many nodes as the scaler answers.
type Actuator struct {
	c     Config
	gone  chan removal
	trail trail

	// What follows belongs to the goroutine of Run.
	spec     int
	history  hpa.History
	trouble  string
	known    map[fleet.NodeID]bool // every node seen, and whether it was ever ready
	removing map[fleet.NodeID]struct{}
	restarts restarts
}

// removal is the end of one Remove.
type removal struct {
	id   fleet.NodeID
	took time.Duration
	err  error
}

// New checks a configuration and makes an actuator; nothing happens before Run.
func New(c Config) (*Actuator, error) {
	switch {
	case c.Scaler == nil || c.Object == nil || c.Nodes == nil || c.Victims == nil || c.Now == nil || c.Logger == nil:
		return nil, errors.New("actuator: scaler, object, nodes, victims, now and logger are needed: one is missing")
	case c.Sync < 0 || c.PushRetry < 0:
		return nil, fmt.Errorf("actuator: sync is %v and push retry %v: give positive durations, or 0 for those of Kubernetes", c.Sync, c.PushRetry)
	case c.HPA.Min < 1 || c.HPA.Max < c.HPA.Min:
		return nil, fmt.Errorf("actuator: the HPA's bounds are %d to %d: give a min from 1 and a max not below it", c.HPA.Min, c.HPA.Max)
	case c.Replicas < c.HPA.Min || c.Replicas > c.HPA.Max:
		return nil, fmt.Errorf("actuator: replicas at the start are %d: give %d to %d, the HPA's bounds", c.Replicas, c.HPA.Min, c.HPA.Max)
	}
	if c.Sync == 0 {
		c.Sync = defaultSync
	}
	if c.PushRetry == 0 {
		c.PushRetry = defaultPushRetry
	}
	return &Actuator{
		c: c, gone: make(chan removal), spec: c.Replicas,
		known: map[fleet.NodeID]bool{}, removing: map[fleet.NodeID]struct{}{},
	}, nil
}

// Run acts until ctx ends. It then waits for the removals under way, which ctx has cut short;
// the nodes that remain are the caller's to end. Run is called once.
func (a *Actuator) Run(ctx context.Context) error {
	pushes := make(chan struct{}, 1)
	var following sync.WaitGroup
	following.Go(func() { a.follow(ctx, pushes) })
	defer following.Wait()
	ticker := time.NewTicker(a.c.Sync)
	defer ticker.Stop()

	a.keep(ctx)
	a.look(ctx)
	for {
		changed := a.c.Nodes.Changed()
		retry := a.keep(ctx)
		select {
		case <-ctx.Done():
			a.finish()
			return nil
		case <-ticker.C:
			a.look(ctx)
		case <-pushes:
			// A real HPA would not look if two decisions had toggled its target there and back; looking is harmless.
			a.look(ctx)
		case r := <-a.gone:
			a.removed(r)
		case <-changed:
		case <-retry:
		}
	}
}

// look is one look of the HPA.
func (a *Actuator) look(ctx context.Context) {
	metrics := query(ctx, a.c.Scaler, a.c.Object)
	a.report(metrics)
	current := hpa.Scale{Spec: a.spec, Status: len(a.active())}
	desired, limitedBy, history := hpa.Replicas(a.c.Now(), a.c.HPA, current, metrics, a.history)
	a.history = history
	if desired == a.spec {
		return
	}
	a.c.Logger.Info("the replica count changes", slog.Int("from", a.spec),
		slog.Int(logkey.Desired, desired), slog.String("limited_by", limitedBy))
	a.spec = desired
}

// report logs a metric that fails once, and its recovery.
func (a *Actuator) report(metrics []hpa.Metric) {
	failures := make([]error, 0, len(metrics))
	for _, m := range metrics {
		failures = append(failures, m.Err)
	}
	err := errors.Join(failures...)
	switch {
	case err == nil && a.trouble != "":
		a.trouble = ""
		a.c.Logger.Info("the scaler answers again")
	case err != nil && err.Error() != a.trouble:
		a.trouble = err.Error()
		a.c.Logger.Warn("the scaler gives no answer, the replica count stays", slog.Any(logkey.Err, err))
	}
}

// finish waits for the removals under way.
func (a *Actuator) finish() {
	for len(a.removing) > 0 {
		a.removed(<-a.gone)
	}
}
