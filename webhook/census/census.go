// Package census counts the pods that ask for the drain hook and have none: those that started before the webhook did, or
// while it was away. They leave without a drain until they are replaced.
package census

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/webhook/ranking"
)

const (
	// interval is the time between two looks, and lookTimeout bounds one.
	interval    = time.Minute
	lookTimeout = 20 * time.Second
	// ReasonNotInjected is the reason of the Event on a Deployment that has such pods.
	ReasonNotInjected = "PodsNotInjected"
)

// Events writes Events on Kubernetes objects. It does not block.
type Events interface {
	Tell(about corev1.ObjectReference, warning bool, reason, message string)
}

// Census counts. It is for one goroutine.
type Census struct {
	Client kubernetes.Interface
	// Namespaces are where fleets are; the empty name is all of them.
	Namespaces []string
	// Count is told how many such pods a namespace has.
	Count  func(namespace string, pods int)
	Events Events
	Logger *slog.Logger

	// told are the Deployments that have an Event, and counted the namespaces that have a count.
	told    map[fleet.ID]bool
	counted map[string]bool
}

// Run looks again and again until ctx ends.
func (c *Census) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		trouble := ""
		if err := c.Look(ctx); err != nil && ctx.Err() == nil {
			if trouble = err.Error(); trouble != told {
				c.Logger.Warn("pods without a drain hook cannot be counted", slog.Any(logkey.Err, err))
			}
		}
		told = trouble
		timer.Reset(interval)
	}
}

// Look counts once, and tells of a Deployment that has such pods and had none at the look before.
func (c *Census) Look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	counts := make(map[string]int)
	found := make(map[fleet.ID][]string)
	var errs []error
	for _, namespace := range c.Namespaces {
		// What the API server has in memory is new enough for this, and costs it little.
		list, err := c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: keys.LabelInject + "=true", ResourceVersion: "0"})
		if err != nil {
			errs = append(errs, fmt.Errorf("list pods in %q: %w", namespace, err))
			continue
		}
		if namespace != metav1.NamespaceAll {
			counts[namespace] = 0
		}
		for i := range list.Items {
			pod := &list.Items[i]
			if !ranking.Active(pod) || Injected(pod) {
				continue
			}
			counts[pod.Namespace]++
			if id, ok := fleetOf(pod); ok {
				found[id] = append(found[id], pod.Name)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		// Half a census would take back what it does not see.
		return err
	}
	c.publish(counts)
	return c.tell(ctx, found)
}

// publish tells every count, also where the last such pod is gone.
func (c *Census) publish(counts map[string]int) {
	for namespace := range c.counted {
		if _, ok := counts[namespace]; !ok {
			c.Count(namespace, 0)
		}
	}
	c.counted = make(map[string]bool, len(counts))
	for namespace, pods := range counts {
		c.Count(namespace, pods)
		c.counted[namespace] = true
	}
}

// tell writes one Event for each Deployment until it has no such pods any more.
func (c *Census) tell(ctx context.Context, found map[fleet.ID][]string) error {
	told := make(map[fleet.ID]bool, len(found))
	var errs []error
	for id, pods := range found {
		if told[id] = true; c.told[id] {
			continue
		}
		deployment, err := c.Client.AppsV1().Deployments(id.Namespace).Get(ctx, id.Name, metav1.GetOptions{})
		if err != nil {
			told[id] = false
			errs = append(errs, fmt.Errorf("read deployment %s: %w", id, err))
			continue
		}
		slices.Sort(pods)
		c.Logger.Warn("pods have no drain hook", slog.String(logkey.Fleet, id.String()), slog.Any("pods", pods))
		c.Events.Tell(corev1.ObjectReference{
			APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "Deployment", Namespace: id.Namespace, Name: id.Name, UID: deployment.UID,
		}, true, ReasonNotInjected, fmt.Sprintf(
			"%d pods have no drain hook, since they started while the webhook was not there, and will close their clients at once when they leave: "+
				"replace them by kubectl rollout restart (%s)", len(pods), strings.Join(pods, ", ")))
	}
	c.told = told
	return errors.Join(errs...)
}

// Injected reports whether some container of the pod has a drain nonce.
func Injected(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Env, func(v corev1.EnvVar) bool { return v.Name == keys.EnvDrainNonce })
	})
}

// fleetOf is the Deployment behind a pod: its ReplicaSet's name less the hash of its template.
func fleetOf(pod *corev1.Pod) (fleet.ID, bool) {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil || owner.Kind != "ReplicaSet" {
		return fleet.ID{}, false
	}
	name, cut := strings.CutSuffix(owner.Name, "-"+pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey])
	return fleet.ID{Namespace: pod.Namespace, Name: name}, cut && name != ""
}
