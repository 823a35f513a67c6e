package cluster

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/scaledobject"
)

// objects are the ScaledObjects that scale fleets, and the policies that they ask for. They are safe for concurrent use.
type objects struct {
	base   policy.Policy
	logger *slog.Logger

	mu      sync.RWMutex
	entries map[fleet.ID]entry
	// present are the objects that are there, by fleet and by name.
	present map[fleet.ID]map[string]scaledobject.Object
	// misled holds the generation of each object, by "namespace/name", of which was said that it asks for another's fleet.
	misled map[string]int64
}

// entry is what is known of one fleet's ScaledObject. It outlives the object: a fleet whose ScaledObject was deleted, to be
// made anew, must not be decided on by other limits meanwhile.
type entry struct {
	object scaledobject.Object
	// exists says that the object is there.
	exists bool
	// policy is the last good one, which nobody changes; nil where there was none.
	policy *policy.Policy
	// fault says why the present object's policy is not the one; warnings what else is to be said.
	fault    string
	warnings []string
}

// noPolicy says in words why there is no policy; empty when there is one.
func (e *entry) noPolicy() string {
	switch {
	case e.policy != nil:
		return ""
	case e.exists:
		return fmt.Sprintf("the policy of ScaledObject %q is refused, and no good one is known: %s", e.object.Name, e.fault)
	default:
		return "no ScaledObject scales the fleet: apply one, or if one is meant to, write the Deployment's name as its scaleTargetRef and as key fleet of its trigger"
	}
}

var _ cache.ResourceEventHandler = (*objects)(nil)

func newObjects(base policy.Policy, logger *slog.Logger) *objects {
	return &objects{base: base, logger: logger, entries: map[fleet.ID]entry{}, present: map[fleet.ID]map[string]scaledobject.Object{}, misled: map[string]int64{}}
}

// of is the entry of a fleet; the zero one when nothing is known.
func (o *objects) of(id fleet.ID) entry {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.entries[id]
}

// OnAdd implements cache.ResourceEventHandler.
func (o *objects) OnAdd(object any, _ bool) { o.take(object) }

// OnUpdate implements cache.ResourceEventHandler.
func (o *objects) OnUpdate(before, object any) {
	// One that changed to another fleet leaves its old one.
	if was, ok := read(before); ok {
		if is, ok := read(object); !ok || is.Fleet != was.Fleet {
			o.leave(was)
		}
	}
	o.take(object)
}

// OnDelete implements cache.ResourceEventHandler.
func (o *objects) OnDelete(object any) {
	if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = last.Obj
	}
	if was, ok := own(object); ok {
		o.mu.Lock()
		delete(o.misled, was.Namespace+"/"+was.Name)
		o.mu.Unlock()
		o.leave(was)
	}
}

// read parses an object that scales a fleet. One that asks for another Deployment's fleet scales none: it must not change
// that one's policy.
func read(object any) (scaledobject.Object, bool) {
	parsed, ok := own(object)
	return parsed, ok && parsed.Fleet.Name != "" && parsed.Fleet.Name == parsed.Target.Name
}

// own parses an object that has a trigger of ours.
func own(object any) (scaledobject.Object, bool) {
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return scaledobject.Object{}, false
	}
	parsed, err := scaledobject.Parse(u)
	return parsed, err == nil && parsed.Ours()
}

// warn says once of each version of an object's spec that it scales no fleet though it asks for one.
func (o *objects) warn(object any) {
	parsed, ok := own(object)
	if !ok {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	key := parsed.Namespace + "/" + parsed.Name
	if generation, said := o.misled[key]; said && generation == parsed.Generation {
		return
	}
	o.misled[key] = parsed.Generation
	_, _, err := parsed.Policy(o.base)
	o.logger.Warn("a ScaledObject asks for another Deployment's fleet and sets no policy", slog.String(logkey.ScaledObject, key), slog.Any(logkey.Err, err))
}

// take learns of an object.
func (o *objects) take(object any) {
	parsed, ok := read(object)
	if !ok {
		o.warn(object)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	present := o.present[parsed.Fleet]
	if present == nil {
		present = map[string]scaledobject.Object{}
		o.present[parsed.Fleet] = present
	}
	present[parsed.Name] = parsed
	o.choose(parsed.Fleet)
}

// leave forgets that an object is there, but not what it asked for.
func (o *objects) leave(gone scaledobject.Object) {
	o.mu.Lock()
	defer o.mu.Unlock()
	present := o.present[gone.Fleet]
	if _, there := present[gone.Name]; !there {
		return
	}
	delete(present, gone.Name)
	if len(present) == 0 {
		delete(o.present, gone.Fleet)
	}
	o.choose(gone.Fleet)
}

// choose makes the entry of a fleet anew from the objects that are there. KEDA scales a Deployment by one object only; of two
// the first in the alphabet counts on every replica. The caller holds the lock.
func (o *objects) choose(id fleet.ID) {
	before, present := o.entries[id], o.present[id]
	if len(present) == 0 {
		o.logger.Info("a fleet has no ScaledObject any more; its policy stays", slog.String(logkey.Fleet, id.String()),
			slog.String(logkey.ScaledObject, before.object.Name))
		o.entries[id] = entry{object: before.object, policy: before.policy}
		return
	}
	object := present[slices.Min(slices.Collect(maps.Keys(present)))]
	next := entry{object: object, exists: true, policy: before.policy}
	p, warnings, err := object.Policy(o.base)
	if err != nil {
		next.fault = err.Error()
		next.warnings = object.Warnings()
	} else {
		next.policy = &p
		next.warnings = append(warnings, object.Warnings()...)
	}
	o.report(id, before, next)
	o.entries[id] = next
}

// report logs what changed, once.
func (o *objects) report(id fleet.ID, before, next entry) {
	logger := o.logger.With(slog.String(logkey.Fleet, id.String()), slog.String(logkey.ScaledObject, next.object.Name))
	switch {
	case next.fault != "" && next.fault == before.fault:
	case next.fault != "" && next.policy == nil:
		logger.Warn("the policy of a ScaledObject cannot be used, and no good one is known: nothing is decided", slog.String(logkey.Err, next.fault))
	case next.fault != "":
		logger.Warn("the policy of a ScaledObject cannot be used; the last good one holds", slog.String(logkey.Err, next.fault))
	case before.fault != "" || !before.exists || *next.policy != *before.policy:
		logger.Info("a ScaledObject sets the policy", slog.Any("settings", next.policy.Metadata()))
	}
}
