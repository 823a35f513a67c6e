package balancer

import (
	"context"
	"fmt"

	"github.com/tidegate/tidegate/balancer/lead"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fenced"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/load"
)

// Follower sees one fleet as every replica does that does not lead, and changes nothing anywhere: a recorder's eye. It is for
// one goroutine.
type Follower struct {
	b *Balancer
	k *keeper
}

// Sight is what a replica knows of a fleet at one reading.
type Sight struct {
	Model load.Fleet
	// Decision is the newest one; zero before there was one.
	Decision decision.Decision
	// Policy is the one to decide with.
	Policy policy.Policy
}

// Follow makes a follower. Of the dependencies it needs Redis, and uses Facts, Policies, Source and Timeout. It asks no node
// whether it lives: who is silent counts as late, and as dead once a node that answers its probe would.
func Follow(d Deps, id fleet.ID) *Follower {
	d.Elector, d.History = nobody{}, 1
	d.Probe = func(context.Context, string) error { return nil }
	b := New(d)
	return &Follower{b: b, k: newKeeper(b, id)}
}

// Look reads once. Where Redis cannot be read the model says so, and holds what was known before.
func (f *Follower) Look(ctx context.Context) Sight {
	// The feeds hear of changes by themselves; what is read together belongs together. Without Redis they keep what they have.
	_ = f.b.tables.Of(f.k.id).Refresh(ctx)
	_ = f.b.decisions.Of(f.k.id).Refresh(ctx)
	f.k.tick(ctx, nil, true)
	p := f.b.Policies(f.k.id)
	if f.k.view.Policy != nil {
		p = *f.k.view.Policy
	}
	s := Sight{Decision: f.k.decision(), Policy: p}
	if seen, ok := f.b.views.Load(f.k.id); ok {
		s.Model = seen.(*view).model
	}
	return s
}

// Memory is what the leader remembers, as decide.DecodeState reads it; nil where it has stored nothing yet.
func (f *Follower) Memory(ctx context.Context) ([]byte, error) {
	stored, err := fenced.NewCell(f.b.Redis, keys.State(f.k.id), f.b.Timeout).Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read what the leader of %s remembers: %w", f.k.id, err)
	}
	return stored.Body, nil
}

// Close ends the follower.
func (f *Follower) Close() {
	f.b.stop()
	f.b.tables.Wait()
	f.b.decisions.Wait()
}

// FollowOptions are the settings of a process that follows one fleet. The kong tags are its flags and environment.
type FollowOptions struct {
	PolicyFile string `name:"policy-file" env:"TIDEGATE_POLICY_FILE" type:"path" placeholder:"PATH" help:"The balancer's policy file, for a fleet of which Kubernetes knows no policy; default is the built-in policy."`
	Kubernetes bool   `name:"kubernetes" env:"TIDEGATE_KUBERNETES" help:"Take the policy from the fleet's ScaledObject, and watch its Deployment, pods and HPA."`
	Kubeconfig string `name:"kubeconfig" env:"TIDEGATE_KUBECONFIG" type:"path" placeholder:"PATH" help:"How to reach the API server from outside a cluster; default is the pod's service account."`
}

// Rules are the policy file's, or the built-in ones.
func (o FollowOptions) Rules() (policy.Policy, error) {
	return Options{PolicyFile: o.PolicyFile}.policy()
}

// Open makes a follower of the fleet and what must run beside it until its context ends. The dependencies hold at least Redis.
func (o FollowOptions) Open(d Deps, id fleet.ID) (*Follower, func(context.Context), error) {
	rules, err := o.Rules()
	if err != nil {
		return nil, nil, err
	}
	d.Policies = func(fleet.ID) policy.Policy { return rules }
	beside := func(context.Context) {}
	like := Options{Kubernetes: o.Kubernetes, Kubeconfig: o.Kubeconfig, FleetNamespaces: []string{id.Namespace}}
	watcher, err := like.watcher(rules, d.withDefaults().Logger)
	if err != nil {
		return nil, nil, err
	}
	if watcher != nil {
		d.Facts, beside = watcher, watcher.Run
	}
	return Follow(d, id), beside, nil
}

// nobody never elects.
type nobody struct{}

func (nobody) Run(ctx context.Context, _ func(context.Context, lead.Term)) error {
	<-ctx.Done()
	return nil
}

func (nobody) Leader() string { return "" }
