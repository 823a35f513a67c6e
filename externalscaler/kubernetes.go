package externalscaler

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/tidegate/tidegate/internal/kube"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/scaledobject"
)

const (
	// component is in whose name Events are written.
	component = "tidegate-scaler"
	// lookupTimeout bounds finding the ScaledObject of a notice.
	lookupTimeout = 5 * time.Second
	// waitingNotices bounds the notices that wait for the API server; more are in the log only.
	waitingNotices = 256
)

// clusterEvents makes an Event on the ScaledObject of each notice, besides the log. An Event must carry the UID of what it
// is about, or `kubectl describe` does not show it, and KEDA does not tell the UID: so the object is looked up first, on a
// goroutine of its own. One that does not exist gets no Event.
type clusterEvents struct {
	log     logEvents
	logger  *slog.Logger
	objects dynamic.Interface
	clients typed.EventsGetter
	queue   chan Notice
}

// newClusterEvents makes Events through the API server that the kubeconfig names; see kube.Config.
func newClusterEvents(kubeconfig string, logger *slog.Logger) (*clusterEvents, error) {
	config, err := kube.Config(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--kubernetes-events: %w", err)
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("--kubernetes-events: %w", err)
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("--kubernetes-events: %w", err)
	}
	return eventsOn(objects, clients.CoreV1(), logger), nil
}

func eventsOn(objects dynamic.Interface, clients typed.EventsGetter, logger *slog.Logger) *clusterEvents {
	return &clusterEvents{
		log: logEvents{logger: logger}, logger: logger, objects: objects, clients: clients, queue: make(chan Notice, waitingNotices),
	}
}

// Report logs the notice and queues it; without room it stays in the log.
func (c *clusterEvents) Report(ctx context.Context, n Notice) {
	c.log.Report(ctx, n)
	select {
	case c.queue <- n:
	default:
	}
}

// run writes what is queued until ctx ends.
func (c *clusterEvents) run(ctx context.Context) {
	events := kube.NewEvents(ctx, c.clients, component)
	defer events.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-c.queue:
			if about, exists := c.find(ctx, n); exists {
				warning, reason, message := worded(n)
				events.Tell(about, warning, reason, message)
			}
		}
	}
}

// find names the ScaledObject as the API server knows it. Without the right to look, its name must do.
func (c *clusterEvents) find(ctx context.Context, n Notice) (about core.ObjectReference, exists bool) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	object, err := c.objects.Resource(scaledobject.Resource).Namespace(n.Namespace).Get(ctx, n.ScaledObject, meta.GetOptions{})
	about = core.ObjectReference{
		APIVersion: scaledobject.Kind.GroupVersion().String(), Kind: scaledobject.Kind.Kind, Namespace: n.Namespace, Name: n.ScaledObject,
	}
	switch {
	case err == nil:
		about.UID = object.GetUID()
		return about, true
	case apierrors.IsForbidden(err):
		return about, true
	default:
		c.logger.Debug("no Event is made of a notice", slog.String(logkey.ScaledObject, n.Namespace+"/"+n.ScaledObject), slog.Any(logkey.Err, err))
		return about, false
	}
}

// worded is the notice as an Event says it.
func worded(n Notice) (warning bool, reason, message string) {
	switch {
	case n.Code == codes.OK && n.Message == "":
		return false, "CountServed", "KEDA is told the decided count again."
	case n.Code == codes.OK:
		return true, "CountLimited", n.Message
	case n.Code == codes.InvalidArgument:
		return true, "TriggerRefused", n.Message
	case n.Code == codes.NotFound:
		return true, "FleetUnknown", n.Message
	default:
		return true, "CountUnavailable", n.Message
	}
}
