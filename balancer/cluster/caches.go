package cluster

import (
	"context"
	"fmt"
	"sync"

	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/metadata/metadatainformer"
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
}

// newCaches prepares the watches of a namespace; handler hears of its ScaledObjects.
func newCaches(c Clients, namespace string, handler cache.ResourceEventHandler) (*caches, error) {
	typed := informers.NewSharedInformerFactoryWithOptions(c.Kube, 0, informers.WithNamespace(namespace))
	dynamic := dynamicinformer.NewFilteredDynamicSharedInformerFactory(c.Dynamic, 0, namespace, nil)
	// Of a ReplicaSet only the metadata counts; its template is the largest part.
	metadata := metadatainformer.NewFilteredSharedInformerFactory(c.Metadata, 0, namespace, nil)
	k := &caches{
		deployments: typed.Apps().V1().Deployments().Informer(),
		pods:        typed.Core().V1().Pods().Informer(),
		hpas:        typed.Autoscaling().V2().HorizontalPodAutoscalers().Informer(),
		sets:        metadata.ForResource(apps.SchemeGroupVersion.WithResource("replicasets")).Informer(),
		objects:     dynamic.ForResource(scaledobject.Resource).Informer(),
	}
	for informer, trim := range map[cache.SharedIndexInformer]cache.TransformFunc{
		k.deployments: trimDeployment, k.pods: trimPod, k.hpas: trimFields, k.sets: trimFields, k.objects: trimFields,
	} {
		if err := informer.SetTransform(trim); err != nil {
			return nil, fmt.Errorf("watch namespace %q: %w", namespace, err)
		}
	}
	for _, informer := range []cache.SharedIndexInformer{k.pods, k.sets} {
		if err := informer.AddIndexers(cache.Indexers{byController: controllerKey}); err != nil {
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
		{"scaledobjects.keda.sh", k.told.HasSynced},
		{"deployments", k.deployments.HasSynced},
		{"replicasets", k.sets.HasSynced},
		{"pods", k.pods.HasSynced},
		{"horizontalpodautoscalers", k.hpas.HasSynced},
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
