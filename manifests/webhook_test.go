package manifests_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	admission "k8s.io/api/admissionregistration/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidegate/tidegate/webhook/stamp"
)

// one is what the two kinds of webhook share.
type one struct {
	name     string
	client   admission.WebhookClientConfig
	failure  *admission.FailurePolicyType
	effects  *admission.SideEffectClass
	timeout  *int32
	selector *meta.LabelSelector
	rules    []admission.RuleWithOperations
}

func hooks(o *objects) []one {
	var all []one
	for _, c := range o.mutating {
		for _, h := range c.Webhooks {
			all = append(all, one{h.Name, h.ClientConfig, h.FailurePolicy, h.SideEffects, h.TimeoutSeconds, h.NamespaceSelector, h.Rules})
		}
	}
	for _, c := range o.validating {
		for _, h := range c.Webhooks {
			all = append(all, one{h.Name, h.ClientConfig, h.FailurePolicy, h.SideEffects, h.TimeoutSeconds, h.NamespaceSelector, h.Rules})
		}
	}
	return all
}

func TestAWebhookThatIsDownStopsNothing(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		all := hooks(o)
		if len(all) != 5 {
			t.Fatalf("%d webhooks, want pods, three ways to see a scale-in, ScaledObjects", len(all))
		}
		for _, h := range all {
			if h.failure == nil || *h.failure != admission.Ignore {
				t.Errorf("%s: failurePolicy %v: pods or scaling would wait for the webhook", h.name, h.failure)
			}
			if h.timeout == nil || *h.timeout > 5 {
				t.Errorf("%s: timeout %v", h.name, h.timeout)
			}
			if h.effects == nil || *h.effects != admission.SideEffectClassNone && *h.effects != admission.SideEffectClassNoneOnDryRun {
				t.Errorf("%s: side effects %v: a dry run would be refused", h.name, h.effects)
			}
		}
	})
}

func TestWebhooksAreAskedAtOurService(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		for _, h := range hooks(o) {
			s := h.client.Service
			if s == nil || s.Namespace != product || s.Path == nil || s.Port == nil || len(h.client.CABundle) > 0 {
				t.Fatalf("%s: client config %+v: the webhook itself writes the caBundle", h.name, h.client)
			}
			service := o.service(t.T, s.Name)
			if service.Spec.Ports[0].Port != *s.Port {
				t.Errorf("%s: asked on port %d of %s", h.name, *s.Port, s.Name)
			}
		}
	})
}

// What changes things looks only where there are fleets, never at the cluster's own namespaces.
func TestMutatingWebhooksSeeTheFleetsNamespacesOnly(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		for _, c := range o.mutating {
			for _, h := range c.Webhooks {
				s := h.NamespaceSelector
				if s == nil || len(s.MatchExpressions) != 1 || s.MatchExpressions[0].Key != "kubernetes.io/metadata.name" ||
					s.MatchExpressions[0].Operator != meta.LabelSelectorOpIn || !slices.Equal(s.MatchExpressions[0].Values, []string{product}) {
					t.Errorf("%s looks at namespaces %+v", h.Name, s)
				}
			}
		}
	})
}

func TestAScaleInIsSeenWhereverItIsWritten(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		var seen []string
		for _, h := range hooks(o) {
			for _, rule := range h.rules {
				if slices.Contains(rule.Operations, admission.Update) && slices.Contains(rule.APIGroups, "apps") {
					seen = append(seen, rule.Resources...)
				}
			}
		}
		slices.Sort(seen)
		if !slices.Equal(seen, []string{"deployments", "deployments/scale", "replicasets"}) {
			t.Errorf("scale-ins are seen on %v", seen)
		}
	})
}

func TestThePolicyForTheWebhooksAccountIsBoundAndFailsClosed(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		if len(o.policies) != 1 {
			t.Fatalf("%d admission policies", len(o.policies))
		}
		p := o.policies[0]
		if p.Spec.FailurePolicy == nil || *p.Spec.FailurePolicy != admission.Fail || len(p.Spec.Validations) == 0 {
			t.Errorf("the policy lets pass what it cannot judge: %+v", p.Spec)
		}
		costs := fmt.Sprintf("int(a[variables.key]) >= %d && int(a[variables.key]) < %d", stamp.Lowest, stamp.Above)
		if !slices.ContainsFunc(p.Spec.Validations, func(v admission.Validation) bool { return strings.Contains(v.Expression, costs) }) {
			t.Errorf("no rule of the policy has the range of the webhook's costs, %s: stamps are denied, or a user's cost may be written", costs)
		}
		if len(o.bound) != 1 || o.bound[0].Spec.PolicyName != p.Name || !slices.Equal(o.bound[0].Spec.ValidationActions, []admission.ValidationAction{admission.Deny}) {
			t.Error("the policy is not bound: it denies nothing")
		}
	})
}
