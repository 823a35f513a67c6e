package rival

import (
	"slices"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/balancer/victim"
	"github.com/tidegate/tidegate/internal/backtest/world"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/hpa"
	"github.com/tidegate/tidegate/internal/load"
)

// Tidegate is our own policy, run by the package that the balancer runs: a decision a second, pushed to an HPA with the
// behaviour that we ship.
type Tidegate struct {
	policy policy.Policy
	state  decide.State
	last   decision.Decision
	sync   sync
	nodes  []load.Node
	// looked is when the HPA last looked: it does when a decision changes, and every sync period while it limits the step.
	looked int
	// Disturb changes the model before it is decided on, for tests of faults; optional.
	Disturb func(now int, f *load.Fleet)
	// Heard is told of every decision, for tests and recordings; optional.
	Heard func(f load.Fleet, d decision.Decision)
}

// NewTidegate runs a policy.
func NewTidegate(p policy.Policy) *Tidegate {
	return &Tidegate{policy: p, sync: sync{spec: hpa.Shipped(p.MinReplicas, p.MaxReplicas)}}
}

// Order decides.
func (t *Tidegate) Order(w *world.World) world.Order {
	f := w.Model(t.policy.MinReplicas, t.policy.MaxReplicas, t.policy.StartTimeout, t.nodes)
	t.nodes = f.Nodes
	if t.Disturb != nil {
		t.Disturb(w.Now(), &f)
	}
	t.last, t.state = decide.Next(t.policy, t.state, f)
	if t.Heard != nil {
		t.Heard(f, t.last)
	}
	return world.Order{Replicas: t.replicas(w, f), Victims: t.victims(w, f), Model: t.last.Working.Capacity}
}

// Restart gives the memory to another leader, as it is stored.
func (t *Tidegate) Restart() error {
	body, err := t.state.Encode()
	if err != nil {
		return err
	}
	t.state, err = decide.DecodeState(body)
	return err
}

// Decision is the newest one.
func (t *Tidegate) Decision() decision.Decision { return t.last }

// replicas is what the HPA makes of the decision.
func (t *Tidegate) replicas(w *world.World, f load.Fleet) int {
	served := t.last.Served(f.Now)
	if served == w.Spec() || t.last.Expired(f.Now) {
		return w.Spec()
	}
	if served == t.sync.asked && w.Now()-t.looked < syncPeriod {
		return w.Spec() // the HPA has seen it, and its behaviour let it go no further
	}
	t.looked = w.Now()
	asked := t.sync.look(w.Clock(), w.Spec(), f.Cluster.Status,
		hpa.Metric{Value: hpa.MilliOf(float64(served)), Target: hpa.MilliOf(1)})
	t.sync.asked = served
	return asked
}

// victims are who leaves first: the nominated ones, and when more go than were, the webhook's pick.
func (t *Tidegate) victims(w *world.World, f load.Fleet) []fleet.NodeID {
	excess := f.Cluster.Status - min(w.Spec(), t.last.Served(f.Now))
	if excess <= len(t.last.Victims) {
		return slices.Clip(t.last.Victims)
	}
	return victim.Pick(t.last.Victims, f.Nodes, excess)
}
