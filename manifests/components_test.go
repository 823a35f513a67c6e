package manifests_test

import (
	"slices"
	"testing"

	networking "k8s.io/api/networking/v1"
	rbac "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ownCertificates is the base with the components that no overlay has.
const ownCertificates = "testdata/own-certificates"

func TestWithCertificatesOfOnesOwnTheWebhookHasNoRightBeyondItsNamespaces(t *testing.T) {
	o := render(t, ownCertificates)
	for _, r := range o.roles {
		if r.kind == "ClusterRole" {
			t.Errorf("ClusterRole %s is still there: a stolen token changes webhook configurations", r.name)
		}
		for _, rule := range r.rules {
			if slices.Contains(rule.Resources, "secrets") && !slices.Equal(rule.Verbs, []string{"get"}) {
				t.Errorf("Role %s may %v Secrets that somebody else fills", r.name, rule.Verbs)
			}
		}
	}
	if slices.ContainsFunc(o.bindings, func(b binding) bool { return b.kind == "ClusterRoleBinding" }) {
		t.Error("a ClusterRoleBinding is still there")
	}
	hook, err := started(t, o, "tidegate-webhook")
	if err != nil {
		t.Fatal(err)
	}
	if hook.Webhook.Certificates.Rotate {
		t.Error("the webhook would make certificates all the same, and has no right to")
	}
	for _, name := range []string{hook.Webhook.Secret, hook.Webhook.ScalerSecret, hook.Webhook.KEDASecret} {
		if o.secret(name) != nil {
			t.Errorf("Secret %s is applied with a type that is not cert-manager's", name)
		}
	}
	for _, c := range o.mutating {
		if got := c.Annotations["cert-manager.io/inject-ca-from"]; got != product+"/tidegate-webhook" {
			t.Errorf("the API server is told nobody to trust for pods and scale-ins: %q", got)
		}
	}
	for _, c := range o.validating {
		if got := c.Annotations["cert-manager.io/inject-ca-from"]; got != product+"/tidegate-webhook" {
			t.Errorf("the API server is told nobody to trust for ScaledObjects: %q", got)
		}
	}
}

func TestCertManagerFillsTheSecretsThatAreRead(t *testing.T) {
	o := render(t, ownCertificates)
	hook, err := started(t, o, "tidegate-webhook")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]string)
	for _, object := range o.issued {
		if object.GetNamespace() != product {
			t.Errorf("%s %s is in namespace %q", object.GetKind(), object.GetName(), object.GetNamespace())
		}
		secret := text(t, object, "spec", "secretName")
		got[secret] = append(got[secret], text(t, object, "spec", "issuerRef", "name"))
		usages, _, err := unstructured.NestedStringSlice(object.Object, "spec", "usages")
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(usages, "server auth") && slices.Contains(usages, "client auth") {
			t.Errorf("%s is good for both ends: whoever reads KEDA's certificate is taken for the scaler", object.GetName())
		}
	}
	for secret, issuer := range map[string]string{
		hook.Webhook.Secret: "tidegate-webhook-ca", hook.Webhook.ScalerSecret: "tidegate-scaler-ca", hook.Webhook.KEDASecret: "tidegate-scaler-ca",
	} {
		if !slices.Equal(got[secret], []string{issuer}) {
			t.Errorf("Secret %s is of %v, want %s", secret, got[secret], issuer)
		}
	}
}

func text(t *testing.T, object *unstructured.Unstructured, fields ...string) string {
	t.Helper()
	value, _, err := unstructured.NestedString(object.Object, fields...)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// What clients are told must be what they may reach: an address, or pods that are open.
func TestClientsAreSentToWhatIsOpenToThem(t *testing.T) {
	open := func(o *objects) bool {
		return slices.ContainsFunc(o.networks, func(n *networking.NetworkPolicy) bool {
			return n.Name == "socket" && slices.ContainsFunc(n.Spec.Ingress, func(rule networking.NetworkPolicyIngressRule) bool {
				return len(rule.From) == 0 && len(rule.Ports) == 1 && rule.Ports[0].Port.StrVal == "public"
			})
		})
	}
	for name, folder := range roots {
		o := render(t, folder)
		p, err := started(t, o, "socket")
		if err != nil {
			t.Fatal(err)
		}
		switch told := p.Socket.URL != ""; {
		case name == "base":
			if told || open(o) {
				t.Error("the base is open to everyone, or says an address that is nobody's")
			}
		case told == open(o):
			t.Errorf("%s: an address is told: %v, pods are open to all: %v; want one of the two", name, told, open(o))
		}
	}
	if !open(render(t, ownCertificates)) {
		t.Error("the component direct-pods opens nothing")
	}
}

// A review that reaches the webhook's port may be anybody's: the webhook reads what it says.
func TestTheWebhookMayReadWhatAReviewSays(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		for _, resource := range []string{"deployments", "replicasets"} {
			if !slices.ContainsFunc(o.roles, func(r role) bool {
				return r.name == "tidegate-webhook-fleets" && slices.ContainsFunc(r.rules, func(rule rbac.PolicyRule) bool {
					return slices.Contains(rule.Resources, resource) && slices.Contains(rule.Verbs, "get")
				})
			}) {
				t.Errorf("the webhook may not get %s: no scale-in is stamped", resource)
			}
		}
	})
}
