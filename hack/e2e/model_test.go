//go:build e2e

package e2e

import (
	"maps"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
)

// sockets makes a fleet of real nodes after the shipped one and waits until its minimum serves.
func (c *cluster) sockets(t *testing.T, name string, p plan) *band {
	t.Helper()
	b := &band{c: c, id: fleet.ID{Namespace: namespace, Name: fresh(name)}}
	t.Cleanup(func() { b.remove(t) })
	model, err := c.kube.AppsV1().Deployments(namespace).Get(t.Context(), socketName, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("read the shipped Deployment: %v", err)
	}
	b.copyService(t)
	b.create(t, b.renamed(model, p))
	b.scaledObject(t, p)
	b.serves(t, int(p.min))
	return b
}

// renamed is the shipped Deployment under the band's name.
func (b *band) renamed(model *appsv1.Deployment, p plan) *appsv1.Deployment {
	d := model.DeepCopy()
	name := b.id.Name
	d.ObjectMeta = metav1.ObjectMeta{Name: name, Namespace: b.id.Namespace, Labels: relabel(model.Labels, name)}
	d.Status = appsv1.DeploymentStatus{}
	replicas := int32(p.min)
	d.Spec.Replicas = &replicas
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: relabel(model.Spec.Selector.MatchLabels, name)}
	template := &d.Spec.Template
	template.Labels = relabel(template.Labels, name)
	template.Annotations = maps.Clone(template.Annotations)
	template.Annotations[keys.AnnotationService] = name
	for i := range template.Spec.TopologySpreadConstraints {
		if s := template.Spec.TopologySpreadConstraints[i].LabelSelector; s != nil {
			s.MatchLabels = relabel(s.MatchLabels, name)
		}
	}
	for i := range template.Spec.Containers {
		setEnv(&template.Spec.Containers[i], "TIDEGATE_FLEET", b.id.String())
		renameEnv(&template.Spec.Containers[i], name)
	}
	if p.pod != nil {
		p.pod(template)
	}
	if p.deployment != nil {
		p.deployment(d)
	}
	return d
}

// relabel copies labels, with the shipped fleet's name replaced.
func relabel(labels map[string]string, name string) map[string]string {
	out := map[string]string{}
	for key, value := range labels {
		if value == socketName {
			value = name
		}
		out[key] = value
	}
	return out
}

func setEnv(container *corev1.Container, name, value string) {
	for i := range container.Env {
		if container.Env[i].Name == name {
			container.Env[i] = corev1.EnvVar{Name: name, Value: value}
			return
		}
	}
	container.Env = append(container.Env, corev1.EnvVar{Name: name, Value: value})
}

// renameEnv replaces the shipped fleet's Service in addresses.
func renameEnv(container *corev1.Container, name string) {
	for i := range container.Env {
		container.Env[i].Value = strings.ReplaceAll(container.Env[i].Value, "."+socketName+".", "."+name+".")
	}
}

func (b *band) copyService(t *testing.T) {
	t.Helper()
	services := b.c.kube.CoreV1().Services(namespace)
	model, err := services.Get(t.Context(), socketName, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("read the shipped Service: %v", err)
	}
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: b.id.Name, Namespace: b.id.Namespace, Labels: story(t, relabel(model.Labels, b.id.Name))}}
	s.Spec = corev1.ServiceSpec{
		ClusterIP: model.Spec.ClusterIP, Ports: model.Spec.Ports, Type: model.Spec.Type,
		Selector: relabel(model.Spec.Selector, b.id.Name), PublishNotReadyAddresses: model.Spec.PublishNotReadyAddresses,
	}
	if s.Spec.ClusterIP != corev1.ClusterIPNone {
		s.Spec.ClusterIP = ""
	}
	if _, err := services.Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		t.Fatalf("make Service %s: %v", s.Name, err)
	}
}

func (b *band) create(t *testing.T, d *appsv1.Deployment) {
	t.Helper()
	d.Labels, d.Spec.Template.Labels = story(t, d.Labels), story(t, d.Spec.Template.Labels)
	if _, err := b.c.kube.AppsV1().Deployments(b.id.Namespace).Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
		t.Fatalf("make Deployment %s: %v", d.Name, err)
	}
}

// scaledObject makes the band's ScaledObject after the shipped one.
func (b *band) scaledObject(t *testing.T, p plan) {
	t.Helper()
	objects := b.c.dynamic.Resource(scaledObjects)
	model, err := objects.Namespace(namespace).Get(t.Context(), socketName, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("read the shipped ScaledObject: %v", err)
	}
	spec := model.DeepCopy().Object["spec"].(map[string]any)
	spec["scaleTargetRef"].(map[string]any)["name"] = b.id.Name
	spec["minReplicaCount"], spec["maxReplicaCount"] = p.min, p.max
	if advanced, ok := spec["advanced"].(map[string]any); ok {
		if config, ok := advanced["horizontalPodAutoscalerConfig"].(map[string]any); ok {
			delete(config, "name")
		}
	}
	trigger := spec["triggers"].([]any)[0].(map[string]any)
	metadata := trigger["metadata"].(map[string]any)
	delete(metadata, "minReplicas")
	delete(metadata, "maxReplicas")
	for key := range metadata {
		if metadata[key] == socketName {
			metadata[key] = b.id.Name
		}
	}
	for key, value := range p.trigger {
		metadata[key] = value
	}
	if p.kind != "" {
		trigger["type"] = p.kind
	}
	if p.spec != nil {
		p.spec(spec)
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": model.GetAPIVersion(), "kind": model.GetKind(),
		"metadata": map[string]any{"name": b.id.Name, "namespace": b.id.Namespace}, "spec": spec,
	}}
	object.SetLabels(story(t, nil))
	if _, err := objects.Namespace(b.id.Namespace).Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatalf("make ScaledObject %s: %v", b.id.Name, err)
	}
}
