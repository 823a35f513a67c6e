package kube

import (
	"context"
	"strings"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
)

// The bounds on Events of one object: a fleet that decides often must not flood the API server, and a decision must not be
// folded into "similar events" either, since each has its own words.
const (
	eventBurst   = 50
	eventQPS     = 0.2
	eventsAlike  = 100
	messageBytes = 1000
)

// Events writes Events of core v1, which every version and `kubectl describe` know. It never blocks: what cannot be written
// in time is dropped. It is safe for concurrent use.
type Events struct {
	broadcaster record.EventBroadcaster
	recorder    record.EventRecorder
}

// NewEvents starts to write Events in the name of a component, until Close or until ctx ends.
func NewEvents(ctx context.Context, client typed.EventsGetter, component string) *Events {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx), record.WithCorrelatorOptions(record.CorrelatorOptions{
		BurstSize: eventBurst, QPS: eventQPS, MaxEvents: eventsAlike,
	}))
	broadcaster.StartRecordingToSink(&typed.EventSinkImpl{Interface: client.Events("")})
	return &Events{
		broadcaster: broadcaster,
		recorder:    broadcaster.NewRecorder(runtime.NewScheme(), core.EventSource{Component: component}),
	}
}

// Tell writes an Event on the object. The reason is one word in CamelCase; a long message is cut.
func (e *Events) Tell(about core.ObjectReference, warning bool, reason, message string) {
	kind := core.EventTypeNormal
	if warning {
		kind = core.EventTypeWarning
	}
	if len(message) > messageBytes {
		message = strings.ToValidUTF8(message[:messageBytes], "") + " …"
	}
	e.recorder.Event(&about, kind, reason, message)
}

// Close ends the writing; Events that wait are dropped.
func (e *Events) Close() { e.broadcaster.Shutdown() }
