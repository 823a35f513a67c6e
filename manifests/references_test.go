package manifests_test

import (
	"slices"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// resumeKeys is the Secret that an operator always brings; an overlay that is complete has it.
const resumeKeys = "tidegate-resume-keys"

func (o *objects) config(t *testing.T, name string) map[string]string {
	t.Helper()
	for _, c := range o.configs {
		if c.Name == name {
			return c.Data
		}
	}
	t.Fatalf("no ConfigMap %s", name)
	return nil
}

// configOf is the ConfigMap behind a volume of a Deployment.
func (o *objects) configOf(t *testing.T, d *apps.Deployment, volume string) map[string]string {
	t.Helper()
	for _, v := range d.Spec.Template.Spec.Volumes {
		if v.Name == volume && v.ConfigMap != nil {
			return o.config(t, v.ConfigMap.Name)
		}
	}
	t.Fatalf("%s has no volume %s of a ConfigMap", d.Name, volume)
	return nil
}

func (o *objects) secret(name string) *core.Secret {
	for _, s := range o.secrets {
		if s.Name == name {
			return s
		}
	}
	return nil
}

func (o *objects) service(t *testing.T, name string) *core.Service {
	t.Helper()
	for _, s := range o.services {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no Service %s", name)
	return nil
}

func TestEveryNameThatAPodRefersToExists(t *testing.T) {
	for name, folder := range roots {
		t.Run(name, func(t *testing.T) {
			o := render(t, folder)
			for _, d := range o.deployments {
				for _, v := range d.Spec.Template.Spec.Volumes {
					switch {
					case v.ConfigMap != nil:
						o.config(t, v.ConfigMap.Name)
					case v.Secret != nil && o.secret(v.Secret.SecretName) == nil && !is(v.Secret.Optional):
						if given := v.Secret.SecretName == resumeKeys && name == "base"; !given {
							t.Errorf("%s waits for Secret %s, which nobody makes", d.Name, v.Secret.SecretName)
						}
					}
					for _, c := range d.Spec.Template.Spec.Containers {
						if !slices.ContainsFunc(c.VolumeMounts, func(m core.VolumeMount) bool { return m.Name == v.Name }) {
							t.Errorf("%s: nobody mounts volume %s", d.Name, v.Name)
						}
					}
				}
			}
		})
	}
}

// A secret in a repository is no secret. The webhook's three are empty, so that applying them again wipes nothing.
func TestTheBaseHoldsNoSecretData(t *testing.T) {
	for _, s := range render(t, roots["base"]).secrets {
		if len(s.Data)+len(s.StringData) > 0 {
			t.Errorf("Secret %s has data", s.Name)
		}
	}
	everywhere(t, func(t root, o *objects) {
		for _, name := range []string{"tidegate-webhook-tls", "tidegate-scaler-tls", "tidegate-keda-tls"} {
			if s := o.secret(name); s == nil || len(s.Data)+len(s.StringData) > 0 {
				t.Errorf("Secret %s is %+v: the webhook may create none, and an apply would overwrite what it fills in", name, s)
			}
		}
	})
}

func TestTheScalerDoesNotGetTheAuthoritysKey(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		for _, v := range o.deployment(t.T, "tidegate-scaler").Spec.Template.Spec.Volumes {
			if v.Name != "tls" {
				continue
			}
			var files []string
			for _, item := range v.Secret.Items {
				files = append(files, item.Key)
			}
			if !slices.Equal(files, []string{"ca.crt", "tls.crt", "tls.key"}) {
				t.Errorf("the scaler mounts %v", files)
			}
		}
	})
}

func TestEveryServiceFindsPodsAndTheirPorts(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		for _, s := range o.services {
			found := false
			for _, d := range o.deployments {
				if !matches(s.Spec.Selector, d.Spec.Template.Labels) {
					continue
				}
				found = true
				for _, p := range s.Spec.Ports {
					if !hasPort(d.Spec.Template.Spec.Containers[0], p.TargetPort) {
						t.Errorf("Service %s port %s leads to no port of %s", s.Name, p.Name, d.Name)
					}
				}
			}
			if !found {
				t.Errorf("Service %s selects no pod", s.Name)
			}
		}
	})
}

func matches(selector, set map[string]string) bool {
	for key, value := range selector {
		if set[key] != value {
			return false
		}
	}
	return len(selector) > 0
}

func TestEveryNetworkPolicyIsAboutPodsAndPortsThatExist(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		denied := false
		for _, n := range o.networks {
			if n.Spec.PodSelector.MatchLabels == nil && n.Spec.PodSelector.MatchExpressions == nil {
				denied = denied || len(n.Spec.Ingress) == 0
				continue
			}
			d := slices.IndexFunc(o.deployments, func(d *apps.Deployment) bool { return selects(t.T, &n.Spec.PodSelector, d.Spec.Template.Labels) })
			if d < 0 {
				t.Errorf("NetworkPolicy %s is about no pod", n.Name)
				continue
			}
			for _, rule := range n.Spec.Ingress {
				if len(rule.Ports) == 0 {
					t.Errorf("NetworkPolicy %s opens every port", n.Name)
				}
				for _, p := range rule.Ports {
					if p.Port == nil || p.Port.Type != intstr.String || !hasPort(o.deployments[d].Spec.Template.Spec.Containers[0], *p.Port) {
						t.Errorf("NetworkPolicy %s opens %v, no port of %s", n.Name, p.Port, o.deployments[d].Name)
					}
					if p.Port != nil && p.Port.StrVal == "admin" && len(rule.From) == 0 {
						t.Errorf("NetworkPolicy %s opens an admin port to everyone", n.Name)
					}
				}
				for _, peer := range rule.From {
					if peer.PodSelector != nil && !slices.ContainsFunc(o.deployments, func(d *apps.Deployment) bool {
						return selects(t.T, peer.PodSelector, d.Spec.Template.Labels)
					}) {
						t.Errorf("NetworkPolicy %s lets in pods that there are not: %v", n.Name, peer.PodSelector)
					}
				}
			}
		}
		if !denied {
			t.Error("nothing denies what no policy names")
		}
	})
}

func TestTheGatewayReachesOurPublicPortsOnly(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		for _, n := range o.networks {
			if n.Name != "tidegate-gateway" {
				continue
			}
			if len(n.Spec.Egress) != 2 || !slices.Contains(n.Spec.PolicyTypes, "Egress") {
				t.Fatalf("the gateway's way out is %+v", n.Spec.Egress)
			}
			for _, rule := range n.Spec.Egress {
				for _, p := range rule.Ports {
					if dns := p.Port.IntValue() == 53; !dns && (p.Port.StrVal != "public" || len(rule.To) == 0) {
						t.Errorf("the gateway may reach port %v of %v", p.Port, rule.To)
					}
				}
			}
		}
	})
}
