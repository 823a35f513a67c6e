//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// autoscaler is the one account that sets replica counts.
const autoscaler = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"

// carriers write Deployments and ReplicaSets without wishes of their own: the first carries a Deployment's count out on its
// ReplicaSets and numbers its revisions, the second takes owners off.
func carriers() []string {
	return []string{"system:serviceaccount:kube-system:deployment-controller", "system:serviceaccount:kube-system:generic-garbage-collector"}
}

// record is one line of the API server's audit log.
type record struct {
	Verb      string    `json:"verb"`
	Stage     string    `json:"stage"`
	UserAgent string    `json:"userAgent"`
	Received  time.Time `json:"requestReceivedTimestamp"`
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

func (r record) String() string {
	return fmt.Sprintf("%s (%s) did %s %s/%s %s/%s: %d", r.User.Username, r.UserAgent, r.Verb, r.Object.Resource, r.Object.Subresource, r.Object.Namespace, r.Object.Name, r.Status.Code)
}

// wrote says that the request may have changed a replica count.
func (r record) wrote() bool {
	scalable := r.Object.Resource == "deployments" || r.Object.Resource == "replicasets" || r.Object.Resource == "statefulsets"
	writes := r.Verb == "update" || r.Verb == "patch"
	return scalable && writes && r.Object.Subresource != "status" && r.Stage == "ResponseComplete"
}

// may says that this account is one that sets replica counts, or carries them out. Whatever we are, we may not, even
// where it was refused.
func (r record) may(hand string) bool {
	switch user := r.User.Username; {
	case strings.HasPrefix(user, ours):
		return false
	case user == hand || user == autoscaler:
		return true
	default:
		return r.Object.Subresource == "" && slices.Contains(carriers(), user)
	}
}

// writes are the requests since then that may have changed a replica count, oldest first.
func (c *cluster) writes(since time.Time) ([]record, error) {
	file, err := os.Open(c.about.AuditLog)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	defer file.Close()
	var found []record
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil || !r.wrote() || r.Received.Before(since) {
			continue // the last line may be half written
		}
		found = append(found, r)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return found, nil
}

// onlyTheAutoscaler judges the audit log of the whole run, whichever stories it told: nobody but the HPA wrote a replica
// count, except for the stories' own hand.
func (c *cluster) onlyTheAutoscaler(ctx context.Context, since time.Time) error {
	if c.about.AuditLog == "" {
		town.figures.note("audit: writes of replica counts by account", "this cluster keeps no audit log")
		return nil
	}
	hand, err := c.hand(ctx)
	if err != nil {
		return err
	}
	found, err := c.writes(since)
	if err != nil {
		return err
	}
	byUser := map[string]int{}
	var wrong []error
	for _, r := range found {
		byUser[r.User.Username]++
		if !r.may(hand) {
			wrong = append(wrong, errors.New(r.String()))
		}
	}
	town.figures.note("audit: writes of replica counts by account", byUser)
	if len(wrong) > 0 {
		return fmt.Errorf("replica counts were written by accounts that must not: %w", errors.Join(wrong...))
	}
	return nil
}

// The audit log shows each scale by the HPA, so that its silence on others, judged at the end of every run, means
// something.
func TestFullOnlyTheAutoscalerScaled(t *testing.T) {
	c := town.cluster
	began := time.Now()
	p := c.stage(t).puppets(t, "audit", plan{min: 2, max: 4, trigger: quick()})
	p.carries(clientsFor(3))
	p.plays(t, 3)
	byAutoscaler := func(r record) bool { return r.User.Username == autoscaler && r.Object.Name == p.id.Name }
	eventually(t, 30*time.Second, "the audit log shows the scale by the HPA", func() error {
		found, err := c.writes(began)
		if err == nil && !slices.ContainsFunc(found, byAutoscaler) {
			err = fmt.Errorf("none of %d writes is the HPA's of %s", len(found), p.id)
		}
		return err
	})
	if err := c.onlyTheAutoscaler(t.Context(), began); err != nil {
		t.Error(err)
	}
}

// hand is the account of the stories themselves.
func (c *cluster) hand(ctx context.Context) (string, error) {
	review, err := c.kube.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("ask who the stories are: %w", err)
	}
	return review.Status.UserInfo.Username, nil
}
