package injection

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tidegate/tidegate/internal/keys"
)

const (
	// defaultPort is the admin port of a socket node.
	defaultPort = 9090
	// defaultDrain is how long a drain may take, in seconds, and maxDrain the most that a node takes.
	defaultDrain = 300
	maxDrain     = 3600
)

// settings are what the pod's annotations ask for.
type settings struct {
	// container is the index of the one that drains, -1 when there is none.
	container int
	// port is nil when the annotation is wrong: a guess would drain something else.
	port *intstr.IntOrString
	path string
	// drain is in seconds.
	drain               int64
	keepGrace, override bool
	// service is empty when it is the fleet's own.
	service string
}

// read takes the annotations, warning of those that are wrong.
func (w *work) read() settings {
	container := w.container()
	return settings{
		container: container,
		port:      w.port(container),
		path:      w.path(),
		drain:     w.drain(),
		keepGrace: w.flag(keys.AnnotationKeepGrace),
		override:  w.flag(keys.AnnotationOverridePreStop),
		service:   w.pod.Annotations[keys.AnnotationService],
	}
}

// container finds the container that drains.
func (w *work) container() int {
	name, given := w.pod.Annotations[keys.AnnotationContainer]
	containers := w.pod.Spec.Containers
	if !given {
		return 0
	}
	named := func(c corev1.Container) bool { return c.Name == name }
	index := slices.IndexFunc(containers, named)
	switch {
	case index >= 0:
	case slices.ContainsFunc(w.pod.Spec.InitContainers, named):
		w.warn("annotation %s is %.60q, an init container, which cannot drain: name one of spec.containers; nothing was injected into containers", keys.AnnotationContainer, name)
	default:
		w.warn("annotation %s is %.60q, and the pod has no such container: name one of spec.containers; nothing was injected into containers", keys.AnnotationContainer, name)
	}
	return index
}

// port reads a number, or the name of a port that the container declares: the kubelet looks for the name in the container
// that has the hook, and in no other.
func (w *work) port(container int) *intstr.IntOrString {
	text, given := w.pod.Annotations[keys.AnnotationDrainPort]
	if !given {
		port := intstr.FromInt32(defaultPort)
		return &port
	}
	if number, err := strconv.ParseInt(text, 10, 32); err == nil && number > 0 && number <= 65535 {
		port := intstr.FromInt32(int32(number))
		return &port
	}
	if container < 0 {
		// Nothing is injected into containers, which was said.
		return nil
	}
	draining := w.pod.Spec.Containers[container]
	if text != "" && slices.ContainsFunc(draining.Ports, func(p corev1.ContainerPort) bool { return p.Name == text }) {
		named := intstr.FromString(text)
		return &named
	}
	w.warn("annotation %s is %.60q: give a number from 1 to 65535 or the name of a port of container %.60q; the drain hook was not injected",
		keys.AnnotationDrainPort, text, draining.Name)
	return nil
}

// path reads the endpoint's path.
func (w *work) path() string {
	text, given := w.pod.Annotations[keys.AnnotationDrainPath]
	if !given {
		return keys.PathDrain
	}
	if _, err := url.ParseRequestURI(text); err != nil || !strings.HasPrefix(text, "/") {
		w.warn("annotation %s is %.60q: give a path that begins with a slash; %s was taken", keys.AnnotationDrainPath, text, keys.PathDrain)
		return keys.PathDrain
	}
	return text
}

// drain reads the seconds that a drain may take.
func (w *work) drain() int64 {
	text, given := w.pod.Annotations[keys.AnnotationDrainSeconds]
	if !given {
		return defaultDrain
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 1 || seconds > maxDrain {
		w.warn("annotation %s is %.60q: give whole seconds from 1 to %d, without a unit; %d was taken", keys.AnnotationDrainSeconds, text, maxDrain, defaultDrain)
		return defaultDrain
	}
	return seconds
}

// flag reads an annotation that is true or false.
func (w *work) flag(name string) bool {
	switch text, given := w.pod.Annotations[name]; {
	case !given || text == "false":
		return false
	case text == "true":
		return true
	default:
		w.warn("annotation %s is %.60q: write true or false; false was taken", name, text)
		return false
	}
}
