package cluster

import (
	"context"
	"fmt"
	"sync"

	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/scaledobject"
)

// byController is the index of objects by "namespace/name" of what made them.
const byController = "controller"

// caches hold the watched objects of one namespace, or of all.
type caches struct {
	deployments, pods, hpas, sets, objects cache.SharedIndexInformer
	// told says that the handler of the ScaledObjects has seen the first list.
	told cache.ResourceEventHandlerRegistration
	// contact is when the API server was last heard.
	contact *contact
}

// The kinds of objects that are watched.
const (
	kindObjects     = "scaledobjects.keda.sh"
	kindDeployments = "deployments"
	kindSets        = "replicasets"
	kindPods        = "pods"
	kindHPAs        = "horizontalpodautoscalers"
)

// newCaches prepares the watches of a namespace; handler hears of its ScaledObjects.
func newCaches(c Clients, namespace string, heard *contact, handler cache.ResourceEventHandler) (*caches, error) {
	byOwner := cache.Indexers{byController: controllerKey}
	objects := c.Dynamic.Resource(scaledobject.Resource).Namespace(namespace)
	// Of a ReplicaSet only the metadata counts; its template is the largest part.
	sets := c.Metadata.Resource(apps.SchemeGroupVersion.WithResource("replicasets")).Namespace(namespace)
	k := &caches{
		contact:     heard,
		deployments: watched(heard, kindDeployments, c.Kube, c.Kube.AppsV1().Deployments(namespace), &apps.Deployment{}, nil),
		pods:        watched(heard, kindPods, c.Kube, c.Kube.CoreV1().Pods(namespace), &core.Pod{}, byOwner),
		hpas:        watched(heard, kindHPAs, c.Kube, c.Kube.AutoscalingV2().HorizontalPodAutoscalers(namespace), &autoscaling.HorizontalPodAutoscaler{}, nil),
		sets:        watched(heard, kindSets, c.Metadata, sets, &meta.PartialObjectMetadata{}, byOwner),
		objects:     watched(heard, kindObjects, c.Dynamic, objects, &unstructured.Unstructured{}, nil),
	}
	for informer, trim := range map[cache.SharedIndexInformer]cache.TransformFunc{
		k.deployments: trimDeployment, k.pods: trimPod, k.hpas: trimFields, k.sets: trimFields, k.objects: trimFields,
	} {
		if err := informer.SetTransform(trim); err != nil {
			return nil, fmt.Errorf("watch namespace %q: %w", namespace, err)
		}
	}
	var err error
	if k.told, err = k.objects.AddEventHandler(handler); err != nil {
		return nil, fmt.Errorf("watch namespace %q: %w", namespace, err)
	}
	return k, nil
}

// run watches until ctx ends.
func (k *caches) run(ctx context.Context) {
	var watches sync.WaitGroup
	for _, informer := range []cache.SharedIndexInformer{k.deployments, k.pods, k.hpas, k.sets, k.objects} {
		watches.Go(func() { informer.RunWithContext(ctx) })
	}
	watches.Wait()
}

// missing names a kind of object whose first list has not come yet; empty when all are there.
func (k *caches) missing() string {
	for _, c := range []struct {
		name   string
		synced func() bool
	}{
		{kindObjects, k.told.HasSynced},
		{kindDeployments, k.deployments.HasSynced},
		{kindSets, k.sets.HasSynced},
		{kindPods, k.pods.HasSynced},
		{kindHPAs, k.hpas.HasSynced},
	} {
		if !c.synced() {
			return c.name
		}
	}
	return ""
}

// deployment finds the fleet's Deployment; nil when there is none.
func (k *caches) deployment(id fleet.ID) *apps.Deployment {
	d, _ := get[*apps.Deployment](k.deployments, id.Namespace, id.Name)
	return d
}

// hpa finds an HPA.
func (k *caches) hpa(namespace, name string) (*autoscaling.HorizontalPodAutoscaler, bool) {
	return get[*autoscaling.HorizontalPodAutoscaler](k.hpas, namespace, name)
}

// replicaSets are those that the Deployment made.
func (k *caches) replicaSets(id fleet.ID) []meta.Object {
	return made[meta.Object](k.sets, id.Namespace, id.Name)
}

// podsOf are the pods that a ReplicaSet made.
func (k *caches) podsOf(namespace, set string) []*core.Pod {
	return made[*core.Pod](k.pods, namespace, set)
}

func get[T any](informer cache.SharedIndexInformer, namespace, name string) (found T, ok bool) {
	object, exists, err := informer.GetIndexer().GetByKey(namespace + "/" + name)
	if err != nil || !exists {
		return found, false
	}
	found, ok = object.(T)
	return found, ok
}

// made are the objects that the controller of this name made.
func made[T any](informer cache.SharedIndexInformer, namespace, name string) []T {
	objects, err := informer.GetIndexer().ByIndex(byController, namespace+"/"+name)
	if err != nil {
		return nil
	}
	out := make([]T, 0, len(objects))
	for _, object := range objects {
		if one, ok := object.(T); ok {
			out = append(out, one)
		}
	}
	return out
}

func controllerKey(object any) ([]string, error) {
	one, ok := object.(meta.Object)
	if !ok {
		return nil, fmt.Errorf("%T has no metadata", object)
	}
	if name := controller(one); name != "" {
		return []string{one.GetNamespace() + "/" + name}, nil
	}
	return nil, nil
}

// trimFields drops what only the API server needs.
func trimFields(object any) (any, error) {
	if one, ok := object.(meta.Object); ok {
		one.SetManagedFields(nil)
	}
	return object, nil
}

// trimPod keeps of a pod what facts are made of: fleets are large.
func trimPod(object any) (any, error) {
	pod, ok := object.(*core.Pod)
	if !ok {
		return object, nil
	}
	pod.ManagedFields, pod.Labels, pod.Annotations = nil, nil, nil
	pod.Spec = core.PodSpec{}
	return pod, nil
}

func trimDeployment(object any) (any, error) {
	d, ok := object.(*apps.Deployment)
	if !ok {
		return object, nil
	}
	d.ManagedFields, d.Labels, d.Annotations = nil, nil, nil
	d.Spec.Template = core.PodTemplateSpec{}
	return d, nil
}
