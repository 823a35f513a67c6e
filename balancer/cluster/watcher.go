package cluster

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/kube"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/scaledobject"
)

const (
	// component is in whose name Events are written.
	component = "tidegate-balancer"
	// patience is how long the first lists may take before that is said.
	patience = 10 * time.Second
)

// Watcher keeps what Kubernetes knows of the fleets in some namespaces. Without an API server it keeps the last it knew.
// It is safe for concurrent use; no method waits for the API server.
type Watcher struct {
	clients Clients
	logger  *slog.Logger
	objects *objects
	caches  map[string]*caches // by namespace; meta.NamespaceAll alone for all
	events  *kube.Events
	stop    context.CancelFunc // ends the events
}

// New prepares to watch the namespaces; meta.NamespaceAll as the only one is all of them. Policies are made over base.
// Run must be called, and ends what New began.
func New(clients Clients, namespaces []string, base policy.Policy, logger *slog.Logger) (*Watcher, error) {
	ctx, stop := context.WithCancel(speaking(context.Background(), logger))
	w := &Watcher{
		clients: clients, logger: logger, objects: newObjects(base, logger), caches: map[string]*caches{},
		events: kube.NewEvents(ctx, clients.Kube.CoreV1(), component), stop: stop,
	}
	for _, namespace := range namespaces {
		k, err := newCaches(clients, namespace, w.objects)
		if err != nil {
			w.close()
			return nil, err
		}
		w.caches[namespace] = k
	}
	return w, nil
}

func (w *Watcher) close() {
	w.stop()
	w.events.Close()
}

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	defer w.close()
	var watches sync.WaitGroup
	for _, k := range w.caches {
		watches.Go(func() { k.run(speaking(ctx, w.logger)) })
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-ctx.Done():
	case <-late.C:
		w.complain()
	}
	watches.Wait()
}

// speaking makes client-go write its log where this process writes its own.
func speaking(ctx context.Context, logger *slog.Logger) context.Context {
	return klog.NewContext(ctx, logr.FromSlogHandler(logger.Handler()))
}

// complain says what keeps the facts away.
func (w *Watcher) complain() {
	for namespace, k := range w.caches {
		if missing := k.missing(); missing != "" {
			w.logger.Warn("Kubernetes does not list what fleets are made of: decisions wait; check that the API server is reached, that KEDA is installed and the RBAC rules",
				slog.String("namespace", namespace), slog.String(logkey.Kind, missing))
		}
	}
}

// of finds the caches that a fleet is in; nil when its namespace is not watched.
func (w *Watcher) of(id fleet.ID) *caches {
	if k, ok := w.caches[meta.NamespaceAll]; ok {
		return k
	}
	return w.caches[id.Namespace]
}

// Ready reports whether all that Kubernetes knows of the fleet is here, which includes that it is not asked about the fleet.
// Before that its limits are not known.
func (w *Watcher) Ready(id fleet.ID) bool {
	k := w.of(id)
	return k == nil || k.missing() == ""
}

// Policy is the policy that the fleet's ScaledObject asks for, the last good one; not ok where none ever did.
func (w *Watcher) Policy(id fleet.ID) (policy.Policy, bool) {
	e := w.objects.of(id)
	return e.policy, e.known
}

// Of is what Kubernetes says of a fleet; nil when it is not asked, has not answered yet, or knows no such Deployment.
func (w *Watcher) Of(id fleet.ID) *load.Cluster {
	k := w.of(id)
	if k == nil || k.missing() != "" {
		return nil
	}
	deployment := k.deployment(id)
	if deployment == nil {
		return nil
	}
	sets := k.replicaSets(id)
	latest := ""
	if replaces(deployment) {
		latest = newest(sets)
	}
	e := w.objects.of(id)
	c := &load.Cluster{
		Spec: specReplicas(deployment), Status: int(deployment.Status.Replicas), Rolling: rolling(deployment),
		Pods: map[fleet.NodeID]load.Pod{}, Shared: len(e.object.Triggers) > 1, Fault: e.fault, Warnings: e.warnings,
	}
	for _, set := range sets {
		for _, pod := range k.podsOf(id.Namespace, set.GetName()) {
			if !over(pod) {
				c.Pods[fleet.NodeID(pod.Name)] = podOf(pod, latest)
			}
		}
	}
	if e.exists && e.object.HPAName != "" {
		if hpa, found := k.hpa(id.Namespace, e.object.HPAName); found {
			c.HPA = autoscalerOf(hpa)
		}
	}
	return c
}

// Tell writes an Event on the fleet's ScaledObject and on its Deployment, as far as they exist.
func (w *Watcher) Tell(id fleet.ID, warning bool, reason, message string) {
	if e := w.objects.of(id); e.exists {
		w.events.Tell(core.ObjectReference{
			APIVersion: scaledobject.Kind.GroupVersion().String(), Kind: scaledobject.Kind.Kind,
			Namespace: e.object.Namespace, Name: e.object.Name, UID: types.UID(e.object.UID),
		}, warning, reason, message)
	}
	k := w.of(id)
	if k == nil {
		return
	}
	if d := k.deployment(id); d != nil {
		w.events.Tell(core.ObjectReference{
			APIVersion: "apps/v1", Kind: "Deployment", Namespace: d.Namespace, Name: d.Name, UID: d.UID,
		}, warning, reason, message)
	}
}
