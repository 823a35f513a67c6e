// Package manifests_test holds what must be true of everything that kubectl apply -k sends.
package manifests_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	admission "k8s.io/api/admissionregistration/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	pdb "k8s.io/api/policy/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const product = "tidegate"

// roots are what somebody may build; the base is what others stand on.
var roots = map[string]string{
	"base":         "base",
	"local":        "overlays/local",
	"example":      "overlays/example",
	"no-tolerance": "overlays/local-no-tolerance",
}

// objects are the typed objects of one render. Each was decoded strictly: a misspelt field fails the test.
type objects struct {
	namespaces  []*core.Namespace
	accounts    []*core.ServiceAccount
	configs     []*core.ConfigMap
	secrets     []*core.Secret
	services    []*core.Service
	deployments []*apps.Deployment
	budgets     []*pdb.PodDisruptionBudget
	networks    []*networking.NetworkPolicy
	roles       []role
	bindings    []binding
	mutating    []*admission.MutatingWebhookConfiguration
	validating  []*admission.ValidatingWebhookConfiguration
	policies    []*admission.ValidatingAdmissionPolicy
	bound       []*admission.ValidatingAdmissionPolicyBinding
	scaled      []scaledObject
	auths       []triggerAuthentication
	// issued are cert-manager's objects, of a component that is not in any root.
	issued []*unstructured.Unstructured
}

// role and binding stand for the namespaced and the cluster's kind alike.
type role struct {
	kind, name string
	rules      []rbac.PolicyRule
}

type binding struct {
	kind, name string
	ref        rbac.RoleRef
	subjects   []rbac.Subject
}

// scaledObject has the fields of KEDA's that the manifests use: one that is not here fails the strict decoding.
type scaledObject struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            struct {
		ScaleTargetRef  struct{ Name string }
		MinReplicaCount *int32
		MaxReplicaCount *int32
		Fallback        *struct {
			Behavior         string
			FailureThreshold int32
			Replicas         int32
		}
		Advanced struct {
			HorizontalPodAutoscalerConfig struct {
				Behavior behavior
			}
		}
		Triggers []struct {
			Type, MetricType  string
			AuthenticationRef struct{ Name string }
			Metadata          map[string]string
		}
	}

	raw *unstructured.Unstructured
}

type triggerAuthentication struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            struct {
		SecretTargetRef []struct{ Parameter, Name, Key string }
	}
}

// built keeps what was rendered, which no test changes.
var built sync.Map

// build renders a folder as kubectl kustomize does.
func build(t *testing.T, folder string) resmap.ResMap {
	t.Helper()
	if known, ok := built.Load(folder); ok {
		return known.(resmap.ResMap)
	}
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy
	all, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		t.Fatalf("build %s: %v", folder, err)
	}
	built.Store(folder, all)
	return all
}

// render builds a folder and decodes what came out.
func render(t *testing.T, folder string) *objects {
	t.Helper()
	all := build(t, folder)
	o := &objects{}
	for _, resource := range all.Resources() {
		text, err := resource.MarshalJSON()
		if err != nil {
			t.Fatalf("%s: %v", resource.CurId(), err)
		}
		if err := o.add(resource.GetKind(), text); err != nil {
			t.Errorf("%s: %v", resource.CurId(), err)
		}
	}
	return o
}

// root is the test of one root.
type root struct {
	*testing.T
	name string
}

// everywhere runs a test on each root.
func everywhere(t *testing.T, test func(t root, o *objects)) {
	t.Helper()
	for name, folder := range roots {
		t.Run(name, func(t *testing.T) { test(root{t, name}, render(t, folder)) })
	}
}

func (o *objects) add(kind string, text []byte) error {
	switch kind {
	case "Namespace":
		return into(text, &o.namespaces)
	case "ServiceAccount":
		return into(text, &o.accounts)
	case "ConfigMap":
		return into(text, &o.configs)
	case "Secret":
		return into(text, &o.secrets)
	case "Service":
		return into(text, &o.services)
	case "Deployment":
		return into(text, &o.deployments)
	case "PodDisruptionBudget":
		return into(text, &o.budgets)
	case "NetworkPolicy":
		return into(text, &o.networks)
	case "MutatingWebhookConfiguration":
		return into(text, &o.mutating)
	case "ValidatingWebhookConfiguration":
		return into(text, &o.validating)
	case "ValidatingAdmissionPolicy":
		return into(text, &o.policies)
	case "ValidatingAdmissionPolicyBinding":
		return into(text, &o.bound)
	case "TriggerAuthentication":
		var auth triggerAuthentication
		err := strict(text, &auth)
		o.auths = append(o.auths, auth)
		return err
	case "ScaledObject":
		return o.addScaledObject(text)
	case "Issuer", "Certificate":
		object := &unstructured.Unstructured{}
		o.issued = append(o.issued, object)
		return object.UnmarshalJSON(text)
	}
	return o.addRights(kind, text)
}

func (o *objects) addScaledObject(text []byte) error {
	var so scaledObject
	if err := strict(text, &so); err != nil {
		return err
	}
	so.raw = &unstructured.Unstructured{}
	if err := so.raw.UnmarshalJSON(text); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	o.scaled = append(o.scaled, so)
	return nil
}

func (o *objects) addRights(kind string, text []byte) error {
	switch kind {
	case "Role":
		var r rbac.Role
		err := strict(text, &r)
		o.roles = append(o.roles, role{kind, r.Name, r.Rules})
		return err
	case "ClusterRole":
		var r rbac.ClusterRole
		err := strict(text, &r)
		if r.AggregationRule != nil || len(r.Labels) > 3 {
			return fmt.Errorf("cluster role %s aggregates: its rights cannot be read here", r.Name)
		}
		o.roles = append(o.roles, role{kind, r.Name, r.Rules})
		return err
	case "RoleBinding":
		var b rbac.RoleBinding
		err := strict(text, &b)
		o.bindings = append(o.bindings, binding{kind, b.Name, b.RoleRef, b.Subjects})
		return err
	case "ClusterRoleBinding":
		var b rbac.ClusterRoleBinding
		err := strict(text, &b)
		o.bindings = append(o.bindings, binding{kind, b.Name, b.RoleRef, b.Subjects})
		return err
	}
	return fmt.Errorf("kind %s is not known to these tests: teach them what must be true of it", kind)
}

func into[T any](text []byte, list *[]*T) error {
	item := new(T)
	if err := strict(text, item); err != nil {
		return err
	}
	*list = append(*list, item)
	return nil
}

func strict(text []byte, target any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(target); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return nil
}

// deployment finds one by name.
func (o *objects) deployment(t *testing.T, name string) *apps.Deployment {
	t.Helper()
	for _, d := range o.deployments {
		if d.Name == name {
			return d
		}
	}
	t.Fatalf("no Deployment %s", name)
	return nil
}
