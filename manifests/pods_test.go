package manifests_test

import (
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// eachPod runs a check on the pod template of every Deployment of every root.
func eachPod(t *testing.T, check func(t root, o *objects, d *apps.Deployment)) {
	t.Helper()
	everywhere(t, func(t root, o *objects) {
		if len(o.deployments) != 5 {
			t.Fatalf("%d Deployments, want socket, balancer, scaler, webhook, gateway", len(o.deployments))
		}
		for _, d := range o.deployments {
			check(t, o, d)
		}
	})
}

func TestTheNamespaceAllowsRestrictedPodsOnly(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		for _, n := range o.namespaces {
			for _, mode := range []string{"enforce", "warn", "audit"} {
				if got := n.Labels["pod-security.kubernetes.io/"+mode]; got != "restricted" {
					t.Errorf("namespace %s: %s is %q", n.Name, mode, got)
				}
			}
		}
	})
}

func TestEveryPodIsRestricted(t *testing.T) {
	eachPod(t, func(t root, _ *objects, d *apps.Deployment) {
		pod := d.Spec.Template.Spec
		s := pod.SecurityContext
		if s == nil || !is(s.RunAsNonRoot) || s.RunAsUser == nil || *s.RunAsUser != 65532 ||
			s.SeccompProfile == nil || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: the pod's security context is %+v: Pod Security refuses it, or it runs as somebody", d.Name, s)
		}
		if pod.HostNetwork || pod.HostPID || pod.HostIPC {
			t.Errorf("%s: the pod is in the machine's namespaces", d.Name)
		}
		for _, v := range pod.Volumes {
			if v.HostPath != nil {
				t.Errorf("%s: volume %s is the machine's", d.Name, v.Name)
			}
		}
		for _, c := range append(slices.Clone(pod.InitContainers), pod.Containers...) {
			s := c.SecurityContext
			if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !is(s.ReadOnlyRootFilesystem) ||
				s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 || is(s.Privileged) {
				t.Errorf("%s: container %s has security context %+v", d.Name, c.Name, s)
			}
		}
	})
}

func is(b *bool) bool { return b != nil && *b }

func TestEveryContainerHasRequestsLimitsAndProbes(t *testing.T) {
	eachPod(t, func(t root, _ *objects, d *apps.Deployment) {
		for _, c := range d.Spec.Template.Spec.Containers {
			for _, name := range []core.ResourceName{core.ResourceCPU, core.ResourceMemory} {
				request, limit := c.Resources.Requests[name], c.Resources.Limits[name]
				if request.IsZero() || limit.IsZero() || request.Cmp(limit) > 0 {
					t.Errorf("%s/%s: %s request %s, limit %s: load is a fraction of the limit, and scheduling needs the request",
						d.Name, c.Name, name, request.String(), limit.String())
				}
			}
			for kind, probe := range map[string]*core.Probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
				if probe == nil || probe.HTTPGet == nil || !hasPort(c, probe.HTTPGet.Port) {
					t.Errorf("%s/%s: %s probe %+v asks no port of the container", d.Name, c.Name, kind, probe)
				}
			}
			if c.ImagePullPolicy != core.PullIfNotPresent {
				t.Errorf("%s/%s: imagePullPolicy %q: a pod could not start while the registry is away", d.Name, c.Name, c.ImagePullPolicy)
			}
		}
	})
}

// A live node that drains is not ready; were readiness and liveness one, its clients would be cut.
func TestLivenessNeverAsksWhatDrainingFails(t *testing.T) {
	eachPod(t, func(t root, _ *objects, d *apps.Deployment) {
		for _, c := range d.Spec.Template.Spec.Containers {
			if c.LivenessProbe.HTTPGet.Path != "/healthz" || c.StartupProbe.HTTPGet.Path != "/healthz" {
				t.Errorf("%s/%s: liveness asks %s, startup %s, want /healthz", d.Name, c.Name, c.LivenessProbe.HTTPGet.Path, c.StartupProbe.HTTPGet.Path)
			}
		}
	})
}

func hasPort(c core.Container, port intstr.IntOrString) bool {
	return slices.ContainsFunc(c.Ports, func(p core.ContainerPort) bool { return p.Name == port.StrVal && port.Type == intstr.String })
}

func TestPodsSpreadOverMachinesAndZones(t *testing.T) {
	eachPod(t, func(t root, _ *objects, d *apps.Deployment) {
		var over []string
		for _, c := range d.Spec.Template.Spec.TopologySpreadConstraints {
			over = append(over, c.TopologyKey)
			if !selects(t.T, c.LabelSelector, d.Spec.Template.Labels) {
				t.Errorf("%s: the spread over %s counts other pods", d.Name, c.TopologyKey)
			}
			if c.WhenUnsatisfiable != core.ScheduleAnyway {
				t.Errorf("%s: a cluster of one machine could not run it", d.Name)
			}
		}
		if !slices.Contains(over, core.LabelHostname) || !slices.Contains(over, core.LabelTopologyZone) {
			t.Errorf("%s: spreads over %v: one machine's end could take all of it", d.Name, over)
		}
	})
}

func TestEverythingSaysWhatItBelongsTo(t *testing.T) {
	for name, folder := range roots {
		for _, r := range build(t, folder).Resources() {
			if r.GetLabels()["app.kubernetes.io/part-of"] != product {
				t.Errorf("%s: %s has labels %v", name, r.CurId(), r.GetLabels())
			}
		}
	}
	eachPod(t, func(t root, _ *objects, d *apps.Deployment) {
		for _, key := range []string{"name", "component", "part-of"} {
			if d.Labels["app.kubernetes.io/"+key] == "" || d.Spec.Template.Labels["app.kubernetes.io/"+key] == "" {
				t.Errorf("%s or its pods have no label app.kubernetes.io/%s", d.Name, key)
			}
		}
		if !selects(t.T, d.Spec.Selector, d.Spec.Template.Labels) {
			t.Errorf("%s does not select its own pods", d.Name)
		}
	})
}

// With service links a Service named tidegate-scaler becomes variables TIDEGATE_SCALER_..., which are our settings.
func TestServicesDoNotBecomeSettings(t *testing.T) {
	eachPod(t, func(t root, _ *objects, d *apps.Deployment) {
		if links := d.Spec.Template.Spec.EnableServiceLinks; links == nil || *links {
			t.Errorf("%s: enableServiceLinks is on", d.Name)
		}
	})
}

func TestOnlyThoseWhoAskTheAPIServerHaveAToken(t *testing.T) {
	asks := []string{"tidegate-balancer", "tidegate-scaler", "tidegate-webhook"}
	eachPod(t, func(t root, o *objects, d *apps.Deployment) {
		pod := d.Spec.Template.Spec
		if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken != slices.Contains(asks, d.Name) {
			t.Errorf("%s: token mounted is %v", d.Name, pod.AutomountServiceAccountToken)
		}
		if pod.ServiceAccountName != d.Name || !o.hasAccount(d.Name) {
			t.Errorf("%s runs as %q", d.Name, pod.ServiceAccountName)
		}
	})
	everywhere(t, func(t root, o *objects) {
		for _, a := range o.accounts {
			if a.AutomountServiceAccountToken == nil || *a.AutomountServiceAccountToken {
				t.Errorf("account %s mounts its token into any pod that names it", a.Name)
			}
		}
	})
}

// Whoever applies the manifests again must not scale: the count is the HPA's.
func TestApplyingNeverWritesTheFleetsReplicas(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		for _, d := range o.deployments {
			switch {
			case d.Name == "socket" && d.Spec.Replicas != nil:
				t.Errorf("the fleet's replicas are %d in the manifests: each apply would fight the HPA", *d.Spec.Replicas)
			case d.Name != "socket" && (d.Spec.Replicas == nil || *d.Spec.Replicas != 2):
				t.Errorf("%s: replicas %v, want 2: one may go", d.Name, d.Spec.Replicas)
			}
			r := d.Spec.Strategy.RollingUpdate
			if r == nil || r.MaxUnavailable.IntValue() != 0 || r.MaxSurge.IntValue() != 1 {
				t.Errorf("%s: a rollout takes a pod away before its successor serves: %+v", d.Name, d.Spec.Strategy)
			}
		}
	})
}

func TestBudgetsLetOnePodGoAndNeverBlockAMachine(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		for _, d := range o.deployments {
			found := false
			for _, b := range o.budgets {
				if !selects(t.T, b.Spec.Selector, d.Spec.Template.Labels) {
					continue
				}
				found = true
				if b.Spec.MaxUnavailable == nil || b.Spec.MaxUnavailable.IntValue() != 1 || b.Spec.MinAvailable != nil {
					t.Errorf("%s: budget %+v", d.Name, b.Spec)
				}
				if p := b.Spec.UnhealthyPodEvictionPolicy; p == nil || *p != "AlwaysAllow" {
					t.Errorf("%s: a pod that cannot get ready keeps a machine from being emptied", d.Name)
				}
			}
			if !found {
				t.Errorf("%s has no PodDisruptionBudget", d.Name)
			}
		}
	})
}

func selects(t *testing.T, s *meta.LabelSelector, set map[string]string) bool {
	t.Helper()
	selector, err := meta.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatalf("selector %v: %v", s, err)
	}
	return !selector.Empty() && selector.Matches(labels.Set(set))
}

func TestNoImageIsLeftWithoutAVersion(t *testing.T) {
	eachPod(t, func(t root, _ *objects, d *apps.Deployment) {
		for _, c := range d.Spec.Template.Spec.Containers {
			if slash := strings.LastIndex(c.Image, "/"); slash < 0 || !strings.Contains(c.Image[slash:], ":") {
				t.Errorf("%s/%s: image %q was not set by the kustomization", d.Name, c.Name, c.Image)
			}
		}
	})
}
