package cluster

import (
	"context"
	"fmt"
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
	// askEvery is how often the API server is asked whether it is still there, and silences how many of these times it may be
	// silent until what it said last may be over.
	askEvery = 5 * time.Second
	silences = 3
)

// Settings say what is watched.
type Settings struct {
	// Namespaces are those of the fleets, at least one; meta.NamespaceAll as the only one is all of them.
	Namespaces []string
	// Base is the policy over which those of ScaledObjects are made.
	Base policy.Policy
	// AskEvery is how often the API server is asked whether it is still there (default 5s); when it was silent for three times
	// as long, what it said last may be over.
	AskEvery time.Duration
}

// Watcher keeps what Kubernetes knows of the fleets in some namespaces. Without an API server it keeps the last it knew.
// It is safe for concurrent use; no method waits for the API server.
type Watcher struct {
	clients  Clients
	settings Settings
	logger   *slog.Logger
	objects  *objects
	caches   map[string]*caches // by namespace; meta.NamespaceAll alone for all
	events   *kube.Events
	stop     context.CancelFunc // ends the events
}

// New prepares to watch. Run must be called, and ends what New began.
func New(clients Clients, s Settings, logger *slog.Logger) (*Watcher, error) {
	if s.AskEvery == 0 {
		s.AskEvery = askEvery
	}
	ctx, stop := context.WithCancel(speaking(context.Background(), logger))
	w := &Watcher{
		logger: logger, objects: newObjects(s.Base, logger), caches: map[string]*caches{},
		events: kube.NewEvents(ctx, clients.Kube.CoreV1(), component), stop: stop, clients: clients, settings: s,
	}
	for _, namespace := range s.Namespaces {
		k, err := newCaches(clients, namespace, newContact(time.Now, silences*s.AskEvery), w.objects)
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
	watches.Go(func() { w.ask(ctx) })
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

// Look is what is known of a fleet, all of it at one moment.
func (w *Watcher) Look(id fleet.ID) View {
	k := w.of(id)
	if k == nil {
		return View{NoPolicy: fmt.Sprintf("no ScaledObject of namespace %q is read: add it to --fleet-namespaces", id.Namespace)}
	}
	// First: what has come by now is in the entry that is read next.
	if missing := k.missing(); missing != "" {
		return View{NoPolicy: fmt.Sprintf("the API server has not told yet of %s in namespace %q", missing, id.Namespace)}
	}
	e := w.objects.of(id)
	return View{Policy: e.policy, NoPolicy: e.noPolicy(), Cluster: k.facts(id, e)}
}

// facts are what Kubernetes says of a fleet; nil when it knows no such Deployment.
func (k *caches) facts(id fleet.ID, e entry) *load.Cluster {
	deployment := k.deployment(id)
	if deployment == nil {
		return nil
	}
	sets := k.replicaSets(id)
	latest := ""
	if replaces(deployment) {
		latest = newest(sets)
	}
	c := &load.Cluster{
		Spec: specReplicas(deployment), Status: int(deployment.Status.Replicas), Rolling: rolling(deployment),
		Pods: map[fleet.NodeID]load.Pod{}, Stale: k.contact.lost(),
		Shared: len(e.object.Triggers) > 1, Fault: e.fault, Warnings: e.warnings,
	}
	for _, set := range sets {
		for _, pod := range k.podsOf(id.Namespace, set.GetName()) {
			if !over(pod) {
				c.Pods[fleet.NodeID(pod.Name)] = podOf(pod, latest)
			}
		}
	}
	if !e.exists {
		return c
	}
	c.Kept = kept(e.object.Pause)
	if e.object.HPAName != "" {
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
