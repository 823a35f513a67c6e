// Package stamp decides which pods of a ReplicaSet are stamped before a scale-in, so that Kubernetes deletes those with the
// least to lose, and which old stamps are cleared. The decision is made on values; a Carrier puts it on pods.
package stamp

import (
	"cmp"
	"slices"
	"time"
)

// Pod is an active pod of the ReplicaSet that shrinks.
type Pod struct {
	Name string
	// Early says that it is deleted before any pod that serves, whatever it costs.
	Early bool
	// Marked says that it carries a deletion cost, ours or a user's.
	Marked bool
	// Cost is that cost as Kubernetes reads it.
	Cost int32
}

// ours reports whether the pod carries a stamp.
func (p Pod) ours() bool { return p.Marked && Ours(p.Cost) }

// free reports whether the pod may be stamped: it serves, and no user gave it a cost.
func (p Pod) free() bool { return !p.Early && (!p.Marked || p.ours()) }

// ScaleIn is what is known when replicas are lowered.
type ScaleIn struct {
	// Pods are all active pods of one ReplicaSet.
	Pods []Pod
	// Target is how many of them are to stay.
	Target int
	Now    time.Time
}

// The window in which stamps for the same target belong to the same scale-in, which is admitted several times: when the
// write conflicts, and again when it reaches the ReplicaSet. Clocks of replicas may differ by the early side.
const (
	window = 2 * time.Second
	ahead  = -time.Second
)

// Draft is a scale-in of which all is known but the order in which the balancer would let nodes leave.
type Draft struct {
	// Leaving is how many pods Kubernetes will delete.
	Leaving int
	// Early of them go first because they do not serve, and Own because a user gave them a negative cost.
	Early, Own int
	// Missing is how many victims are still to be named.
	Missing int

	in      ScaleIn
	kept    []Pod
	settled time.Time
	// spared says that some pods that do not serve stay.
	spared bool
}

// Begin counts who goes whatever it costs, and keeps the victims that the same scale-in has stamped already.
func (s ScaleIn) Begin() Draft {
	d := Draft{Leaving: max(0, len(s.Pods)-max(0, s.Target)), in: s}
	if d.Leaving == 0 || d.Leaving == len(s.Pods) {
		// Nobody goes, or everybody: costs decide nothing.
		return d
	}
	for _, p := range s.Pods {
		switch {
		case p.Early:
			d.Early++
		case p.Marked && p.Cost < 0 && !Ours(p.Cost):
			d.Own++
		}
	}
	d.spared = d.Early > d.Leaving
	d.Early = min(d.Early, d.Leaving)
	d.Own = min(d.Own, d.Leaving-d.Early)
	need := d.Leaving - d.Early - d.Own
	d.kept, d.settled = s.fresh(need)
	d.Missing = need - len(d.kept)
	return d
}

// fresh are the pods, at most need, that a moment ago were stamped for the same target, and when the last of them was.
func (s ScaleIn) fresh(need int) (kept []Pod, last time.Time) {
	for _, p := range s.Pods {
		if p.Early || !p.ours() {
			continue
		}
		if age, target := decode(p.Cost, s.Now); target == s.Target%targets && age >= ahead && age < window {
			kept = append(kept, p)
		}
	}
	slices.SortFunc(kept, func(a, b Pod) int { return cmp.Or(cmp.Compare(a.Cost, b.Cost), cmp.Compare(a.Name, b.Name)) })
	kept = kept[:min(need, len(kept))]
	for _, p := range kept {
		age, _ := decode(p.Cost, s.Now)
		if at := s.Now.Add(-age); at.After(last) {
			last = at
		}
	}
	return kept, last
}

// Stamp is a cost to put on a pod.
type Stamp struct {
	Pod  string
	Cost int32
}

// Plan is what to do to pods before a scale-in is let through.
type Plan struct {
	// Victims are the serving pods that leave, the first to go first; all of them carry a stamp once Set was done.
	Victims []string
	// Clear are pods whose stamps are of scale-ins that never happened; do it before Set.
	Clear []string
	Set   []Stamp
	// Unnamed is how many leave in Kubernetes' own order, because nobody named them.
	Unnamed int
	// Settled is when the last of the stamps that stay was set, as far as that was a moment ago; zero otherwise.
	Settled time.Time
}

// Finish names the missing victims in the balancer's order, which may name nodes of other ReplicaSets too. Without an
// order nobody is named, and Kubernetes' own order holds.
func (d Draft) Finish(order []string) Plan {
	plan := Plan{Settled: d.settled}
	if d.Leaving == 0 || d.Leaving == len(d.in.Pods) {
		return plan
	}
	free := make(map[string]Pod, len(d.in.Pods))
	for _, p := range d.in.Pods {
		if p.free() {
			free[p.Name] = p
		}
	}
	for _, p := range d.kept {
		plan.Victims = append(plan.Victims, p.Name)
		delete(free, p.Name)
	}
	for _, name := range order {
		p, ok := free[name]
		if !ok || len(plan.Victims) == len(d.kept)+d.Missing {
			continue
		}
		delete(free, name)
		if !p.ours() {
			// A victim that carries an old stamp needs no other: it is already among the first to go.
			plan.Set = append(plan.Set, Stamp{Pod: name, Cost: encode(len(plan.Victims), d.in.Now, d.in.Target)})
		}
		plan.Victims = append(plan.Victims, name)
	}
	plan.Unnamed = len(d.kept) + d.Missing - len(plan.Victims)
	for _, p := range d.in.Pods {
		if _, left := free[p.Name]; p.ours() && (left || p.Early && d.spared) {
			plan.Clear = append(plan.Clear, p.Name)
		}
	}
	return plan
}
