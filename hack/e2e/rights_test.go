//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ours begins the name of every account of the product.
const ours = "system:serviceaccount:" + namespace + ":"

// No account of ours may set a replica count, whatever the way.
func TestFullNoAccountOfOursMayScale(t *testing.T) {
	c := town.cluster
	accounts, err := c.kube.CoreV1().ServiceAccounts(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, account := range accounts.Items {
		for _, resource := range []string{"deployments", "replicasets", "statefulsets"} {
			for _, sub := range []string{"", "scale"} {
				for _, verb := range []string{"update", "patch", "create", "delete"} {
					for _, space := range []string{namespace, "default", "kube-system", ""} {
						asked++
						review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
							User: ours + account.Name, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
							ResourceAttributes: &authorizationv1.ResourceAttributes{Group: "apps", Resource: resource, Subresource: sub, Verb: verb, Namespace: space},
						}}
						answer, err := c.kube.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
						if err != nil {
							t.Fatal(err)
						}
						if answer.Status.Allowed {
							t.Errorf("%s may %s %s/%s in %q: %s", account.Name, verb, resource, sub, space, answer.Status.Reason)
						}
					}
				}
			}
		}
		out, err := c.kubectl(t.Context(), "auth", "can-i", "patch", "deployments/scale", "-n", namespace, "--as="+ours+account.Name)
		if err == nil || !strings.Contains(out, "no") {
			t.Errorf("kubectl auth can-i says that %s may scale: %s", account.Name, out)
		}
	}
	if len(accounts.Items) < 4 {
		t.Errorf("only %d accounts were asked for", len(accounts.Items))
	}
	town.figures.note(t.Name()+": accounts, questions, all answered no", fmt.Sprintf("%d, %d", len(accounts.Items), asked))
}
