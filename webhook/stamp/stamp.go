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

const (
	// window is how long stamps for the same target belong to the same scale-in, which is admitted several times: when the
	// write conflicts, and again when it reaches the ReplicaSet. Clocks of replicas may differ by the early side.
	window = 2 * time.Second
	ahead  = -time.Second

	// While the balancer does not answer, an older choice of its is better than none: one for the same target, which may
	// reach its ReplicaSet late, and one for any.
	heldForTarget = 10 * time.Minute
	heldForAny    = time.Minute
)

// Draft is a scale-in of which all is known but the order in which the balancer would let nodes leave.
type Draft struct {
	// Leaving is how many pods Kubernetes will delete.
	Leaving int
	// Early of them go first because they do not serve, and Own because a user gave them a negative cost.
	Early, Own int
	// Missing is how many victims are still to be named.
	Missing int

	in   ScaleIn
	kept []Pod
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
	d.kept = s.fresh(need)
	d.Missing = need - len(d.kept)
	return d
}

// fresh are the pods, at most need, that a moment ago were stamped for the same target.
func (s ScaleIn) fresh(need int) []Pod {
	var kept []Pod
	for _, p := range s.Pods {
		if p.Early || !p.ours() {
			continue
		}
		if age, target := decode(p.Cost, s.Now); target == s.Target%targets && age >= ahead && age < window {
			kept = append(kept, p)
		}
	}
	slices.SortFunc(kept, func(a, b Pod) int { return cmp.Or(cmp.Compare(a.Cost, b.Cost), cmp.Compare(a.Name, b.Name)) })
	return kept[:min(need, len(kept))]
}

// held are the names of the pods whose stamps may count while there is no order, those for the same target first, then the
// newest.
func (s ScaleIn) held() []string {
	type choice struct {
		name  string
		other int
		age   time.Duration
	}
	var choices []choice
	for _, p := range s.Pods {
		if p.Early || !p.ours() {
			continue
		}
		age, target := decode(p.Cost, s.Now)
		switch {
		case target == s.Target%targets && age < heldForTarget:
			choices = append(choices, choice{p.Name, 0, age})
		case age < heldForAny:
			choices = append(choices, choice{p.Name, 1, age})
		}
	}
	slices.SortFunc(choices, func(a, b choice) int {
		return cmp.Or(cmp.Compare(a.other, b.other), cmp.Compare(a.age, b.age), cmp.Compare(a.name, b.name))
	})
	names := make([]string, len(choices))
	for i, c := range choices {
		names[i] = c.name
	}
	return names
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

// Finish names the missing victims in the balancer's order, which may name nodes of other ReplicaSets too. A victim of a
// moment ago whom the order does not name is none any more.
func (d Draft) Finish(order []string) Plan {
	named := make(map[string]bool, len(order))
	for _, name := range order {
		named[name] = true
	}
	kept := slices.DeleteFunc(slices.Clone(d.kept), func(p Pod) bool { return !named[p.Name] })
	return d.plan(kept, order)
}

// Hold makes do without an order, because all victims are known or because the balancer does not answer: whoever was stamped
// for this target, or for any a short while ago, stays a victim as far as victims are missing. Who is missing then is named
// by nobody, and Kubernetes' own order holds.
func (d Draft) Hold() Plan { return d.plan(d.kept, d.in.held()) }

// plan takes the kept victims and then the next by name.
func (d Draft) plan(kept []Pod, next []string) Plan {
	if d.Leaving == 0 || d.Leaving == len(d.in.Pods) {
		return Plan{}
	}
	plan := Plan{Settled: d.settled(kept)}
	free := make(map[string]bool, len(d.in.Pods))
	for _, p := range d.in.Pods {
		if p.free() {
			free[p.Name] = true
		}
	}
	for _, p := range kept {
		plan.Victims = append(plan.Victims, p.Name)
		delete(free, p.Name)
	}
	need := len(d.kept) + d.Missing
	for _, name := range next {
		if !free[name] || len(plan.Victims) == need {
			continue
		}
		delete(free, name)
		// One that carries an older stamp gets a new one too: when the same scale-in is admitted again, its victims are known.
		plan.Set = append(plan.Set, Stamp{Pod: name, Cost: encode(len(plan.Victims), d.in.Now, d.in.Target)})
		plan.Victims = append(plan.Victims, name)
	}
	plan.Unnamed = need - len(plan.Victims)
	for _, p := range d.in.Pods {
		if p.ours() && (free[p.Name] || p.Early && d.spared) {
			plan.Clear = append(plan.Clear, p.Name)
		}
	}
	return plan
}

// settled is when the last of the kept stamps was set.
func (d Draft) settled(kept []Pod) (last time.Time) {
	for _, p := range kept {
		age, _ := decode(p.Cost, d.in.Now)
		if at := d.in.Now.Add(-age); at.After(last) {
			last = at
		}
	}
	return last
}
