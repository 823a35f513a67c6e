// Package injection decides what is added to a pod that asks for the drain hook: the hook itself, time to drain, the
// nonce that the drain endpoint wants, the pod's own name and address, and a name that DNS knows. It decides on values; a
// pod is never refused.
package injection

import (
	"fmt"

	"gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/tidegate/tidegate/internal/keys"
)

// Chance is what is random in an injection.
type Chance struct {
	// Nonce is what the drain endpoint of this pod will want to be shown.
	Nonce string
	// Suffix ends the pod's name: five characters of those that Kubernetes uses.
	Suffix string
}

// Injection is what to do to a pod.
type Injection struct {
	// Wanted says that the pod asks to be injected.
	Wanted bool
	// Patch changes the pod; empty when it has all already.
	Patch []jsonpatch.JsonPatchOperation
	// Warnings name what was not injected and why, each with its fix.
	Warnings []string
}

// Wanted reports whether the pod asks to be injected.
func Wanted(pod *corev1.Pod) bool { return pod.Labels[keys.LabelInject] == "true" }

// Inject decides what the pod lacks. Injecting what was injected changes nothing. The pod is not changed.
func Inject(pod *corev1.Pod, c Chance) Injection {
	if !Wanted(pod) {
		return Injection{}
	}
	w := &work{pod: pod}
	if len(pod.Spec.Containers) == 0 {
		w.warn("the pod has no containers, so nothing was injected")
		return Injection{Wanted: true, Warnings: w.warnings}
	}
	s := w.read()
	if s.container >= 0 {
		grace := w.grace(s)
		w.hook(s, c.Nonce)
		w.time(s, grace)
		w.identity()
		w.writeEnv(s)
	}
	w.name(s, c.Suffix)
	return Injection{Wanted: true, Patch: w.patch, Warnings: w.warnings}
}

// work is an injection under way.
type work struct {
	pod      *corev1.Pod
	env      []corev1.EnvVar
	patch    []jsonpatch.JsonPatchOperation
	warnings []string
}

func (w *work) warn(format string, args ...any) {
	w.warnings = append(w.warnings, fmt.Sprintf(format, args...))
}

// add sets a member of the pod, whether or not it is there.
func (w *work) add(path string, value any) {
	w.patch = append(w.patch, jsonpatch.NewOperation("add", path, value))
}

// identity lets the container know its pod's name and address.
func (w *work) identity() {
	w.env = append(w.env, downward(keys.EnvPodName, "metadata.name"), downward(keys.EnvPodIP, "status.podIP"))
}

func downward(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path},
	}}
}

// writeEnv adds the variables that the container does not have; what it has is the user's.
func (w *work) writeEnv(s settings) {
	container := &w.pod.Spec.Containers[s.container]
	path := containerPath(s.container) + "/env"
	empty := len(container.Env) == 0
	for _, variable := range w.env {
		if variableOf(container, variable.Name) != nil {
			continue
		}
		if empty {
			w.add(path, []corev1.EnvVar{variable})
			empty = false
			continue
		}
		w.add(path+"/-", variable)
	}
}

func variableOf(container *corev1.Container, name string) *corev1.EnvVar {
	for i := range container.Env {
		if container.Env[i].Name == name {
			return &container.Env[i]
		}
	}
	return nil
}

func containerPath(index int) string { return fmt.Sprintf("/spec/containers/%d", index) }
