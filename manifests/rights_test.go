package manifests_test

import (
	"slices"
	"strings"
	"testing"

	rbac "k8s.io/api/rbac/v1"
)

// writes are the verbs that change something, or that give a right away.
var writes = []string{"create", "update", "patch", "delete", "deletecollection", "bind", "escalate", "impersonate", "*"}

// counted are what holds a replica count, or makes or bounds one. Nothing of ours may write them: KEDA is the one actuator.
var counted = []struct{ group, resource string }{
	{"apps", "deployments"},
	{"apps", "deployments/scale"},
	{"apps", "deployments/status"},
	{"apps", "replicasets"},
	{"apps", "replicasets/scale"},
	{"apps", "replicasets/status"},
	{"apps", "statefulsets"},
	{"apps", "statefulsets/scale"},
	{"", "replicationcontrollers"},
	{"", "replicationcontrollers/scale"},
	{"autoscaling", "horizontalpodautoscalers"},
	{"autoscaling", "horizontalpodautoscalers/status"},
	{"keda.sh", "scaledobjects"},
	{"keda.sh", "scaledobjects/status"},
	// Whoever writes these gives himself the right.
	{"rbac.authorization.k8s.io", "roles"},
	{"rbac.authorization.k8s.io", "rolebindings"},
	{"rbac.authorization.k8s.io", "clusterroles"},
	{"rbac.authorization.k8s.io", "clusterrolebindings"},
	// Or takes it from somebody who has it.
	{"", "pods/exec"},
	{"", "serviceaccounts/token"},
	{"", "users"},
	{"", "groups"},
	{"", "serviceaccounts"},
}

// reaches reports whether a rule lets its holder write a resource, wildcards included.
func reaches(rule rbac.PolicyRule, group, resource string) bool {
	if !slices.ContainsFunc(rule.Verbs, func(verb string) bool { return slices.Contains(writes, verb) }) {
		return false
	}
	if !slices.Contains(rule.APIGroups, group) && !slices.Contains(rule.APIGroups, "*") {
		return false
	}
	_, sub, _ := strings.Cut(resource, "/")
	return slices.ContainsFunc(rule.Resources, func(r string) bool {
		return r == "*" || r == resource || sub != "" && r == "*/"+sub
	})
}

func TestNoRoleMayWriteAReplicaCount(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		if len(o.roles) < 5 {
			t.Fatalf("only %d roles found: the test looks at the wrong place", len(o.roles))
		}
		for _, r := range o.roles {
			for _, rule := range r.rules {
				for _, c := range counted {
					if reaches(rule, c.group, c.resource) {
						t.Errorf("%s %s may %v %s of %q: a second actuator could fight KEDA's", r.kind, r.name, rule.Verbs, c.resource, c.group)
					}
				}
			}
		}
	})
}

func TestTheCheckOfRightsSeesEveryWayToWriteACount(t *testing.T) {
	rule := func(group, resource, verb string) rbac.PolicyRule {
		return rbac.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: []string{"get", verb}}
	}
	for name, bad := range map[string]rbac.PolicyRule{
		"the scale by name":              rule("apps", "deployments/scale", "patch"),
		"the scale of everything":        rule("apps", "*/scale", "update"),
		"everything of a group":          rule("apps", "*", "update"),
		"every group":                    rule("*", "deployments", "update"),
		"every verb":                     rule("apps", "deployments", "*"),
		"a Deployment written anew":      rule("apps", "deployments", "delete"),
		"a right that is given away":     rule("rbac.authorization.k8s.io", "clusterroles", "escalate"),
		"somebody else's name":           rule("", "users", "impersonate"),
		"a bound that moves the HPA's":   rule("keda.sh", "scaledobjects", "patch"),
		"a command in a pod that may do": rule("", "pods/exec", "create"),
	} {
		if !slices.ContainsFunc(counted, func(c struct{ group, resource string }) bool { return reaches(bad, c.group, c.resource) }) {
			t.Errorf("%s (%v) passes unseen", name, bad)
		}
	}
	if reaches(rule("apps", "deployments", "watch"), "apps", "deployments") {
		t.Error("looking counts as writing")
	}
}

// granted is every write that a role of ours may do, so that a new one is a decision that a review sees.
var granted = map[string][]string{
	"Role tidegate-balancer":        {"create leases", "update leases tidegate-balancer"},
	"Role tidegate-balancer-fleets": {"create events", "patch events"},
	"Role tidegate-scaler-fleets":   {"create events", "patch events"},
	"Role tidegate-webhook":         {"update secrets tidegate-webhook-tls,tidegate-scaler-tls,tidegate-keda-tls"},
	"Role tidegate-webhook-fleets":  {"patch pods", "create events", "patch events"},
	"ClusterRole tidegate-webhook":  {"patch mutatingwebhookconfigurations tidegate", "patch validatingwebhookconfigurations tidegate"},
}

func TestEveryRightToWriteWasDecided(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		for _, r := range o.roles {
			for _, rule := range r.rules {
				for _, verb := range rule.Verbs {
					if !slices.Contains(writes, verb) {
						continue
					}
					for _, resource := range rule.Resources {
						right := strings.TrimSpace(verb + " " + resource + " " + strings.Join(rule.ResourceNames, ","))
						if !slices.Contains(granted[r.kind+" "+r.name], right) {
							t.Errorf("%s %s may %q, which nobody decided", r.kind, r.name, right)
						}
					}
				}
			}
		}
	})
}

func TestBindingsGiveOurAccountsOurRolesOnly(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		for _, b := range o.bindings {
			if !slices.ContainsFunc(o.roles, func(r role) bool { return r.kind == b.ref.Kind && r.name == b.ref.Name }) {
				t.Errorf("%s %s refers to %s %s, which is not here: its rights were not checked", b.kind, b.name, b.ref.Kind, b.ref.Name)
			}
			for _, s := range b.subjects {
				if s.Kind != rbac.ServiceAccountKind || s.Namespace != product || !o.hasAccount(s.Name) {
					t.Errorf("%s %s gives rights to %s %s/%s, which is no account of ours", b.kind, b.name, s.Kind, s.Namespace, s.Name)
				}
			}
		}
	})
}

// The README tells users to build fleet-access with the namespace of their fleet.
func TestFleetAccessGivesOurAccountsRightsInAnotherNamespace(t *testing.T) {
	all := build(t, "testdata/other-namespace")
	for _, r := range all.Resources() {
		if r.GetNamespace() != "chat" {
			t.Errorf("%s is not in the fleet's namespace", r.CurId())
		}
	}
	o := render(t, "testdata/other-namespace")
	if len(o.bindings) != 3 {
		t.Fatalf("%d bindings, want balancer, scaler, webhook", len(o.bindings))
	}
	for _, b := range o.bindings {
		if len(b.subjects) != 1 || b.subjects[0].Namespace != product {
			t.Errorf("%s gives rights to %+v, where no process of ours runs", b.name, b.subjects)
		}
	}
}

func (o *objects) hasAccount(name string) bool {
	for _, a := range o.accounts {
		if a.Name == name {
			return true
		}
	}
	return false
}
