// Package scalein makes sure, while the API server holds a request that lowers replicas, that the pods with the least to
// lose are those that Kubernetes deletes.
package scalein

import (
	"errors"
	"fmt"

	admission "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/json"
)

// Change is a request that sets the replicas of a Deployment or of a ReplicaSet. It is what somebody says who reached the
// webhook, which need not be the API server: what of it matters is read again.
type Change struct {
	Namespace string
	// Deployment is the name of the one that changes; empty when a ReplicaSet does.
	Deployment string
	// Set is the name of the ReplicaSet that changes; empty when a Deployment does.
	Set string
	// Template says that the Deployment's pod template changes too, which starts a rollout.
	Template bool
	From, To int
	// Author is the user that asks.
	Author string
}

// Lowers reports whether replicas go down.
func (c Change) Lowers() bool { return c.To < c.From }

// Read understands an admission request. An error says that it is none that this package handles.
func Read(r *admission.AdmissionRequest) (Change, error) {
	c := Change{Namespace: r.Namespace, Author: r.UserInfo.Username}
	if r.Operation != admission.Update || r.Resource.Group != appsv1.GroupName {
		return c, fmt.Errorf("%s of %q in group %q: only updates of apps are stamped", r.Operation, r.Resource.Resource, r.Resource.Group)
	}
	if r.Name == "" {
		return c, errors.New("the review does not name what it is about")
	}
	what := r.Resource.Resource
	if r.SubResource != "" {
		what += "/" + r.SubResource
	}
	switch what {
	case "deployments/scale":
		var before, after autoscaling.Scale
		if err := decode(r, &before, &after); err != nil {
			return c, err
		}
		c.Deployment, c.From, c.To = r.Name, int(before.Spec.Replicas), int(after.Spec.Replicas)
	case "deployments":
		var before, after appsv1.Deployment
		if err := decode(r, &before, &after); err != nil {
			return c, err
		}
		c.Deployment, c.From, c.To = r.Name, replicas(before.Spec.Replicas), replicas(after.Spec.Replicas)
		c.Template = !equality.Semantic.DeepEqual(before.Spec.Template, after.Spec.Template)
	case "replicasets":
		var before, after appsv1.ReplicaSet
		if err := decode(r, &before, &after); err != nil {
			return c, err
		}
		c.Set, c.From, c.To = r.Name, replicas(before.Spec.Replicas), replicas(after.Spec.Replicas)
	default:
		return c, fmt.Errorf("%q cannot be stamped: point the webhook at deployments/scale, deployments and replicasets", what)
	}
	return c, nil
}

func decode(r *admission.AdmissionRequest, before, after any) error {
	if err := json.Unmarshal(r.OldObject.Raw, before); err != nil {
		return fmt.Errorf("read the old object of %s: %w", r.Resource.Resource, err)
	}
	if err := json.Unmarshal(r.Object.Raw, after); err != nil {
		return fmt.Errorf("read the object of %s: %w", r.Resource.Resource, err)
	}
	return nil
}

// replicas reads a count that Kubernetes takes for one when it is not given.
func replicas(count *int32) int {
	if count == nil {
		return 1
	}
	return int(*count)
}
