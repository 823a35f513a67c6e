package injection

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/tidegate/tidegate/internal/keys"
)

const (
	// envDrainTimeout tells a node how long it may drain.
	envDrainTimeout = "TIDEGATE_DRAIN_TIMEOUT"
	// afterDrain is what a node has left, in seconds, to close what remains when its drain has ended.
	afterDrain = 30
	// graceParts is the part of a grace period that was kept, and is too short, that stays for closing what remains.
	graceParts = 3
	// defaultGrace is Kubernetes' own, in seconds.
	defaultGrace = 30
)

// grace raises the pod's grace period to what a drain needs, and answers the one that holds, in seconds.
func (w *work) grace(s settings) int64 {
	current := int64(defaultGrace)
	if given := w.pod.Spec.TerminationGracePeriodSeconds; given != nil {
		current = *given
	}
	needed := s.drain + afterDrain
	if current >= needed || s.keepGrace {
		return current
	}
	w.add("/spec/terminationGracePeriodSeconds", needed)
	return needed
}

// time tells the node how long it may drain. A grace period that is too short and was kept leaves less: the node must
// have closed everything before it is killed.
func (w *work) time(s settings, grace int64) {
	drain := s.drain
	if drain+afterDrain > grace {
		drain = max(1, grace-min(afterDrain, (grace+graceParts-1)/graceParts))
		w.warn("annotation %s keeps a grace period of %d s, and a drain of %d s needs %d s: the node will drain for %d s and then close what is left; raise terminationGracePeriodSeconds",
			keys.AnnotationKeepGrace, grace, s.drain, s.drain+afterDrain, drain)
	}
	w.env = append(w.env, corev1.EnvVar{Name: envDrainTimeout, Value: strconv.FormatInt(drain, 10) + "s"})
}

// hook adds the preStop hook with its nonce.
func (w *work) hook(s settings, nonce string) {
	container := &w.pod.Spec.Containers[s.container]
	lifecycle := container.Lifecycle
	var existing *corev1.LifecycleHandler
	if lifecycle != nil {
		existing = lifecycle.PreStop
	}
	if injected := nonceOf(existing); injected != "" {
		w.env = append(w.env, corev1.EnvVar{Name: keys.EnvDrainNonce, Value: injected})
		return
	}
	if variable := variableOf(container, keys.EnvDrainNonce); variable != nil {
		if nonce = variable.Value; nonce == "" {
			w.warn("container %q sets %s by reference, so the drain hook cannot show it: remove the variable; the drain hook was not injected", container.Name, keys.EnvDrainNonce)
			return
		}
	}
	w.env = append(w.env, corev1.EnvVar{Name: keys.EnvDrainNonce, Value: nonce})
	if s.port == nil {
		return
	}
	if existing != nil {
		if !s.override {
			w.warn("container %q has a preStop hook, which was kept, so nobody tells the node to drain: call the drain endpoint from it, or set annotation %s to true", container.Name, keys.AnnotationOverridePreStop)
			return
		}
		w.warn("the preStop hook of container %q was replaced, as annotation %s asks", container.Name, keys.AnnotationOverridePreStop)
	}
	hook := corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{
		// The host stays empty: Pod Security forbids any.
		Path: s.path, Port: *s.port, Scheme: corev1.URISchemeHTTP,
		HTTPHeaders: []corev1.HTTPHeader{{Name: keys.HeaderNonce, Value: nonce}},
	}}
	path := containerPath(s.container) + "/lifecycle"
	if lifecycle == nil {
		w.add(path, corev1.Lifecycle{PreStop: &hook})
		return
	}
	w.add(path+"/preStop", hook)
}

// nonceOf is the nonce that a hook of ours shows; empty for every other hook.
func nonceOf(hook *corev1.LifecycleHandler) string {
	if hook == nil || hook.HTTPGet == nil {
		return ""
	}
	for _, header := range hook.HTTPGet.HTTPHeaders {
		if header.Name == keys.HeaderNonce {
			return header.Value
		}
	}
	return ""
}
