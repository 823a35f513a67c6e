package scalein

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/webhook/ranking"
	"github.com/tidegate/tidegate/webhook/stamp"
	"github.com/tidegate/tidegate/webhook/victims"
)

// Order tells which nodes of a fleet should leave first. It wraps victims.ErrUnknownFleet.
type Order interface {
	Order(ctx context.Context, id fleet.ID) ([]string, error)
}

// Stamper stamps the pods that are to leave. It keeps nothing between two calls: what a scale-in was decided lies on the
// pods, so that any replica can go on. It is safe for concurrent use.
type Stamper struct {
	Client  kubernetes.Interface
	Carrier stamp.Carrier
	Order   Order
	// Settle is how long a stamp takes, at most, to reach the controller that deletes.
	Settle time.Duration
	// DryRun decides and changes nothing.
	DryRun bool
	Now    func() time.Time
	// Wait returns after the time or when ctx ends.
	Wait func(ctx context.Context, d time.Duration)
}

// patches bounds how many pods are patched at once.
const patches = 16

// Trouble is something that an operator must know, under the reason of an Event.
type Trouble struct{ Reason, Note string }

// The reasons of troubles.
const (
	ReasonUnreadable   = "ScaleInStateUnreadable"
	ReasonNoBalancer   = "BalancerUnreachable"
	ReasonUnknownFleet = "FleetUnknown"
	ReasonNoStamp      = "StampFailed"
	ReasonUnnamed      = "VictimsUnnamed"
)

// Report is what was found and done.
type Report struct {
	// Fleet is a Deployment that exists. It is zero when the change is of none, or of one that is no fleet: all but Refuted
	// and Troubles is then empty.
	Fleet      fleet.ID
	Deployment *corev1.ObjectReference
	// Refuted wraps ErrRefuted and says in what the change does not agree with what is stored; nil where it does.
	Refuted error
	// Unsure says why nobody knows whether the Deployment is a fleet: its pods do not ask to be injected, and the balancer
	// does not answer. Nothing else but Fleet is then set.
	Unsure error
	// Rollout says that nothing was done because the updates of the ReplicaSets will say who shrinks.
	Rollout bool
	// Leaving is how many pods will be deleted: First, which go whatever anybody decides, Victims, and Unnamed ones that
	// Kubernetes chooses.
	Leaving  int
	First    []string
	Victims  []string
	Unnamed  int
	Set      int
	Cleared  int
	Held     time.Duration
	Troubles []Trouble
}

func (r *Report) trouble(reason, format string, args ...any) {
	r.Troubles = append(r.Troubles, Trouble{Reason: reason, Note: fmt.Sprintf(format, args...)})
}

// Stamp brings the costs of a ReplicaSet's pods to what the change needs and holds until they have settled. It always
// returns, at the latest when ctx ends: what cannot be done is a trouble, and Kubernetes then deletes in its own order.
func (s *Stamper) Stamp(ctx context.Context, c Change) Report {
	v, err := s.look(ctx, c)
	switch {
	case errors.Is(err, errNoOwner):
		return Report{}
	case errors.Is(err, ErrRefuted):
		return Report{Refuted: err}
	}
	r := Report{Fleet: v.fleet, Deployment: v.deployment, Rollout: v.rollout}
	if err != nil {
		r.trouble(ReasonUnreadable, "the pods of %.60s/%.60s cannot be read, so they leave in Kubernetes' own order: %s", c.Namespace, c.Deployment+c.Set, err)
		return r
	}
	var order []string
	asked := false
	if !v.marked {
		// Nothing says that this is a fleet but the balancer, if it is one.
		order, err = s.Order.Order(ctx, v.fleet)
		switch {
		case errors.Is(err, victims.ErrUnknownFleet):
			return Report{}
		case err != nil:
			return Report{Fleet: v.fleet, Unsure: err}
		}
		asked = true
	}
	if v.set == nil {
		return r
	}
	draft := stamp.ScaleIn{Pods: s.values(v.pods), Target: c.To, Now: s.Now()}.Begin()
	var refusal error
	if draft.Missing > 0 && !asked {
		order, refusal = s.Order.Order(ctx, v.fleet)
		asked = refusal == nil
	}
	plan := draft.Hold()
	if asked {
		plan = draft.Finish(order)
	}
	if refusal != nil {
		r.refused(refusal, plan.Unnamed)
	}
	r.count(v, draft, plan, s.Now())
	s.carryOut(ctx, v.fleet.Namespace, plan, &r)
	return r
}

// refused notes why the balancer gave no order, and who leaves then.
func (r *Report) refused(err error, unnamed int) {
	who := "those that it chose a short while ago leave"
	if unnamed > 0 {
		who = fmt.Sprintf("%d pods leave in Kubernetes' own order", unnamed)
	}
	if errors.Is(err, victims.ErrUnknownFleet) {
		r.trouble(ReasonUnknownFleet, "the balancer knows no fleet %s, so %s: let its nodes send heartbeats under that name", r.Fleet, who)
		return
	}
	r.trouble(ReasonNoBalancer, "the balancer does not say who has the least to lose, so %s: %s", who, err)
}

// count notes who leaves.
func (r *Report) count(v view, draft stamp.Draft, plan stamp.Plan, now time.Time) {
	r.Leaving, r.Victims, r.Unnamed = draft.Leaving, plan.Victims, plan.Unnamed
	for _, pod := range ranking.Order(v.pods, v.related, now) {
		// The first in Kubernetes' order are those that do not serve.
		if len(r.First) < draft.Early {
			r.First = append(r.First, pod.Name)
		}
	}
	if plan.Unnamed > 0 && len(r.Troubles) == 0 {
		r.trouble(ReasonUnnamed, "%d of %d pods leave in Kubernetes' own order: the balancer does not list them, or they carry a deletion cost that a user set", plan.Unnamed, draft.Leaving)
	}
}

// values are the pods as the rules see them.
func (s *Stamper) values(pods []*corev1.Pod) []stamp.Pod {
	values := make([]stamp.Pod, len(pods))
	for i, pod := range pods {
		cost, marked := s.Carrier.Read(pod)
		values[i] = stamp.Pod{Name: pod.Name, Early: ranking.Early(pod), Marked: marked, Cost: cost}
	}
	return values
}

// carryOut clears, then sets, then holds for what is left of the settle time since the last stamp that counts.
func (s *Stamper) carryOut(ctx context.Context, namespace string, plan stamp.Plan, r *Report) {
	if s.DryRun {
		return
	}
	settled := plan.Settled
	cleared, errCleared := each(ctx, plan.Clear, func(ctx context.Context, pod string) error {
		return s.Carrier.Erase(ctx, namespace, pod)
	})
	set, errSet := each(ctx, plan.Set, func(ctx context.Context, one stamp.Stamp) error {
		return s.Carrier.Write(ctx, namespace, one.Pod, one.Cost)
	})
	r.Cleared, r.Set = cleared, set
	if err := errors.Join(errCleared, errSet); err != nil {
		r.trouble(ReasonNoStamp, "%d of %d deletion costs could not be written, so the wrong pods may leave: %s",
			len(plan.Clear)+len(plan.Set)-cleared-set, len(plan.Clear)+len(plan.Set), err)
	}
	if cleared+set > 0 {
		settled = s.Now()
	}
	s.hold(ctx, settled, r)
}

// hold waits until what was settled is old enough.
func (s *Stamper) hold(ctx context.Context, settled time.Time, r *Report) {
	if settled.IsZero() {
		return
	}
	from := s.Now()
	// Another replica's clock may be ahead: never more than the whole time.
	left := min(s.Settle, s.Settle-from.Sub(settled))
	if left <= 0 {
		return
	}
	s.Wait(ctx, left)
	r.Held = s.Now().Sub(from)
}

// each does something to every element, several at once, and counts those that worked. The first failure is returned;
// the others are tried all the same.
func each[T any](ctx context.Context, elements []T, do func(context.Context, T) error) (done int, err error) {
	var group errgroup.Group
	group.SetLimit(patches)
	var worked atomic.Int64
	for _, element := range elements {
		group.Go(func() error {
			if err := do(ctx, element); err != nil {
				return err
			}
			worked.Add(1)
			return nil
		})
	}
	err = group.Wait()
	return int(worked.Load()), err
}
