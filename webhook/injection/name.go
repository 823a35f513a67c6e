package injection

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tidegate/tidegate/internal/keys"
)

const (
	// maxBase is what Kubernetes leaves of a generateName, so that five more characters make a DNS label.
	maxBase = validation.DNS1123LabelMaxLength - 5
	// labelTemplateHash is the label by which a Deployment's ReplicaSet tells its pods; the pod's name holds its value.
	labelTemplateHash = "pod-template-hash"
)

// name gives the pod a name that DNS knows: the pod's own, under the fleet's headless Service. Kubernetes draws a name
// from generateName only after admission, so it is drawn here, the same way. A pod that has any of the three is left alone.
func (w *work) name(s settings, suffix string) {
	pod := w.pod
	if pod.GenerateName == "" || pod.Name != "" || pod.Spec.Hostname != "" || pod.Spec.Subdomain != "" {
		return
	}
	service := s.service
	if service == "" {
		service = fleetName(pod.GenerateName, pod.Labels[labelTemplateHash])
	}
	if len(validation.IsDNS1123Label(service)) > 0 {
		w.warn("%.70q cannot be the name of a headless Service, so the pod gets no DNS name: set annotation %s to one", service, keys.AnnotationService)
		return
	}
	name := pod.GenerateName[:min(maxBase, len(pod.GenerateName))] + suffix
	if len(validation.IsDNS1123Label(name)) > 0 {
		w.warn("%.70q cannot be a host name, so the pod gets no DNS name: give the Deployment a name of lower-case letters, digits and hyphens", name)
		return
	}
	w.add("/metadata/name", name)
	w.add("/spec/hostname", name)
	w.add("/spec/subdomain", service)
}

// fleetName is the Deployment's name: what generateName was made of, less the hash.
func fleetName(generateName, hash string) string {
	base := strings.TrimSuffix(generateName, "-")
	if hash == "" {
		return base
	}
	return strings.TrimSuffix(base, "-"+hash)
}
