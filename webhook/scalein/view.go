package scalein

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/webhook/ranking"
)

// view is what the API server says of a change. It is read from the API server each time, not from an informer: a scale-in
// is rare, and a cache that lags by milliseconds would miss the stamp that another replica, or this one, has just set.
type view struct {
	fleet fleet.ID
	// deployment is what events are about.
	deployment *corev1.ObjectReference
	// marked says that the pods ask for the drain hook: the Deployment is meant to be a fleet.
	marked bool
	// set is the ReplicaSet that shrinks; nil when the change shrinks none or when several are in play.
	set *appsv1.ReplicaSet
	// rollout says that several ReplicaSets share the change, so that only their own updates tell who shrinks.
	rollout bool
	// pods are the set's active pods; related are all pods of the Deployment that were read.
	pods, related []*corev1.Pod
}

var (
	// errNoOwner says that a ReplicaSet belongs to no Deployment, and so to no fleet.
	errNoOwner = errors.New("the ReplicaSet belongs to no Deployment")
	// ErrRefuted says that what is stored is not what the review says. The API server asks before it stores, so a review
	// of its own agrees; where somebody wrote in between, it tries again with a new review.
	ErrRefuted = errors.New("the review does not agree with what is stored, so nothing was stamped")
)

// look reads what a change is about. Of the change itself it believes names and the target alone.
func (s *Stamper) look(ctx context.Context, c Change) (view, error) {
	if c.Set != "" {
		return s.lookAtSet(ctx, c)
	}
	return s.lookAtDeployment(ctx, c)
}

func (s *Stamper) lookAtSet(ctx context.Context, c Change) (view, error) {
	set, err := s.Client.AppsV1().ReplicaSets(c.Namespace).Get(ctx, c.Set, metav1.GetOptions{})
	if err != nil {
		return view{}, unread("ReplicaSet", c.Namespace, c.Set, err)
	}
	if err := agrees("ReplicaSet", c, c.Set, set.Spec.Replicas); err != nil {
		return view{}, err
	}
	owner := metav1.GetControllerOf(set)
	if owner == nil || owner.Kind != kindDeployment {
		return view{}, errNoOwner
	}
	deployment, err := s.Client.AppsV1().Deployments(c.Namespace).Get(ctx, owner.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && deployment.UID != owner.UID {
		return view{}, errNoOwner
	}
	if err != nil {
		return view{}, unread("Deployment", c.Namespace, owner.Name, err)
	}
	v := of(deployment)
	v.set, v.marked = set, marked(&set.Spec.Template)
	if v.related, err = s.listPods(ctx, c.Namespace, set.Spec.Selector); err != nil {
		return v, err
	}
	v.pods = ofSet(v.related, set.UID)
	return v, nil
}

func (s *Stamper) lookAtDeployment(ctx context.Context, c Change) (view, error) {
	deployment, err := s.Client.AppsV1().Deployments(c.Namespace).Get(ctx, c.Deployment, metav1.GetOptions{})
	if err != nil {
		return view{}, unread("Deployment", c.Namespace, c.Deployment, err)
	}
	if err := agrees("Deployment", c, c.Deployment, deployment.Spec.Replicas); err != nil {
		return view{}, err
	}
	v := of(deployment)
	v.marked = marked(&deployment.Spec.Template)
	var sets []appsv1.ReplicaSet
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		v.related, err = s.listPods(groupCtx, c.Namespace, deployment.Spec.Selector)
		return err
	})
	group.Go(func() (err error) {
		sets, err = s.listSets(groupCtx, c.Namespace, deployment)
		return err
	})
	if err := group.Wait(); err != nil {
		return v, err
	}
	if len(sets) > 1 || c.Template {
		v.rollout = true
		return v, nil
	}
	if len(sets) == 1 {
		v.set = &sets[0]
		v.pods = ofSet(v.related, v.set.UID)
	}
	return v, nil
}

// of is the view of a Deployment that exists.
func of(deployment *appsv1.Deployment) view {
	return view{
		fleet:      fleet.ID{Namespace: deployment.Namespace, Name: deployment.Name},
		deployment: reference(deployment.Namespace, deployment.Name, deployment.UID),
	}
}

// agrees reports where the change does not start at what is stored.
func agrees(kind string, c Change, name string, stored *int32) error {
	if replicas(stored) == c.From {
		return nil
	}
	return fmt.Errorf("%w: it lowers %s %.60s/%.60s from %d replicas, which has %d", ErrRefuted, kind, c.Namespace, name, c.From, replicas(stored))
}

// unread says why an object was not read. One that does not exist cannot be what the API server asks about.
func unread(kind, namespace, name string, err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%w: there is no %s %.60s/%.60s", ErrRefuted, kind, namespace, name)
	}
	return fmt.Errorf("read %s %.60s/%.60s: %w", kind, namespace, name, err)
}

func (s *Stamper) listPods(ctx context.Context, namespace string, selector *metav1.LabelSelector) ([]*corev1.Pod, error) {
	list, err := s.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(selector)})
	if err != nil {
		return nil, fmt.Errorf("list pods in %s: %w", namespace, err)
	}
	pods := make([]*corev1.Pod, len(list.Items))
	for i := range list.Items {
		pods[i] = &list.Items[i]
	}
	return pods, nil
}

// listSets lists a Deployment's ReplicaSets that are to have pods.
func (s *Stamper) listSets(ctx context.Context, namespace string, of *appsv1.Deployment) ([]appsv1.ReplicaSet, error) {
	list, err := s.Client.AppsV1().ReplicaSets(namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(of.Spec.Selector)})
	if err != nil {
		return nil, fmt.Errorf("list ReplicaSets in %s: %w", namespace, err)
	}
	var sets []appsv1.ReplicaSet
	for _, set := range list.Items {
		if metav1.IsControlledBy(&set, of) && replicas(set.Spec.Replicas) > 0 {
			sets = append(sets, set)
		}
	}
	return sets, nil
}

const kindDeployment = "Deployment"

func reference(namespace, name string, uid types.UID) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: appsv1.SchemeGroupVersion.String(), Kind: kindDeployment, Namespace: namespace, Name: name, UID: uid,
	}
}

func marked(template *corev1.PodTemplateSpec) bool {
	return template.Labels[keys.LabelInject] == "true"
}

// ofSet are the active pods that belong to a ReplicaSet.
func ofSet(pods []*corev1.Pod, set types.UID) []*corev1.Pod {
	var own []*corev1.Pod
	for _, pod := range pods {
		if owner := metav1.GetControllerOfNoCopy(pod); owner != nil && owner.UID == set && ranking.Active(pod) {
			own = append(own, pod)
		}
	}
	return own
}
