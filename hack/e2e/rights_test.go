//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The one account that sets replica counts, and the controllers that carry them out.
const (
	autoscaler = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
	ours       = "system:serviceaccount:" + namespace + ":"
)

// carriers write objects that hold a replica count without setting one of their own.
func carriers() []string {
	return []string{
		"system:serviceaccount:kube-system:deployment-controller", "system:serviceaccount:kube-system:replicaset-controller",
		"system:serviceaccount:kube-system:generic-garbage-collector", "system:serviceaccount:kube-system:namespace-controller",
	}
}

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

// record is one line of the API server's audit log.
type record struct {
	Verb      string `json:"verb"`
	Stage     string `json:"stage"`
	UserAgent string `json:"userAgent"`
	User      struct {
		Username string `json:"username"`
	} `json:"user"`
	Object struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	Status struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
}

// The audit log of the whole run: nobody but the HPA wrote a scale, except for the stories' own hand.
func TestFullOnlyTheAutoscalerScaled(t *testing.T) {
	c := town.cluster
	s := c.stage(t)
	// One scale-out at least, so that the log has something to show whichever stories ran.
	p := s.puppets(t, "audit", plan{min: 2, max: 4, trigger: quick()})
	p.carries(clientsFor(3))
	p.plays(t, 3)
	hand := c.hand(t)
	file, err := os.Open(c.about.AuditLog)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	byUser := map[string]int{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil || !r.wrote() {
			continue // the last line may be half written
		}
		byUser[r.User.Username]++
		if strings.HasPrefix(r.User.Username, ours) || !r.may(hand) {
			t.Errorf("%s (%s) did %s %s/%s %s/%s: %d", r.User.Username, r.UserAgent, r.Verb, r.Object.Resource, r.Object.Subresource, r.Object.Namespace, r.Object.Name, r.Status.Code)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if byUser[autoscaler] == 0 {
		t.Error("the log shows no scale by the HPA: it proves nothing")
	}
	town.figures.note(t.Name()+": writes of replica counts by account", byUser)
}

// wrote says that the request may have changed a replica count.
func (r record) wrote() bool {
	scalable := r.Object.Resource == "deployments" || r.Object.Resource == "replicasets" || r.Object.Resource == "statefulsets"
	writes := r.Verb == "update" || r.Verb == "patch"
	return scalable && writes && r.Object.Subresource != "status" && r.Stage == "ResponseComplete"
}

// may says that this account is one that sets replica counts, or carries them out.
func (r record) may(hand string) bool {
	if r.User.Username == hand || r.User.Username == autoscaler {
		return true
	}
	for _, carrier := range carriers() {
		if r.User.Username == carrier && r.Object.Subresource == "" {
			return true
		}
	}
	return false
}

// hand is the account of the stories themselves.
func (c *cluster) hand(t *testing.T) string {
	t.Helper()
	review, err := c.kube.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.UserInfo.Username
}
