//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Certificates that live for 90 seconds are replaced unseen: no admission fails, long after the first has expired.
func TestFaultCertificateExpiry(t *testing.T) {
	const during = 4 * time.Minute
	c := town.cluster
	d, err := c.kube.AppsV1().Deployments(namespace).Get(t.Context(), webhookName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	old := d.Spec.Template.Spec.Containers[0].Env
	t.Cleanup(func() {
		c.webhookEnv(t, old)
		c.mended(t, namespace, webhookName)
	})
	short := append([]corev1.EnvVar{
		{Name: "TIDEGATE_CERT_VALIDITY", Value: "90s"},
		{Name: "TIDEGATE_CERT_RENEW_BEFORE", Value: "60s"},
		{Name: "TIDEGATE_CERT_CHECK_INTERVAL", Value: "5s"},
	}, old...)
	c.webhookEnv(t, short)
	c.available(t, namespace, webhookName)
	c.spend(t)
	first, failed := c.certificate(t), c.failedOpen(t)
	seen, bare, reviews := map[string]bool{first: true}, 0, 0
	always(t, during, "every pod gets its hook", func() error {
		reviews++
		pod := c.admit(t, namespace, func(*corev1.Pod) {}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if hook(pod) == nil {
			bare++
		}
		seen[c.certificate(t)] = true
		return nil
	})
	if n := c.failedOpen(t) - failed; n > 0 || bare > 0 {
		t.Errorf("%d calls failed open, %d of %d pods got no hook", n, bare, reviews)
	}
	if len(seen) < 3 {
		t.Errorf("%d certificates were in use in %s: each lives 90 s", len(seen), during)
	}
	town.figures.note(t.Name()+": reviews, failed, certificates in turn", fmt.Sprintf("%d, %d, %d", reviews, bare, len(seen)))
}

// spend takes the long-lived certificate away, and waits for one that lives as short as it is set now.
func (c *cluster) spend(t *testing.T) {
	t.Helper()
	before := c.certificate(t)
	patch := []byte(`{"data":{"tls.crt":"","tls.key":""}}`)
	if _, err := c.kube.CoreV1().Secrets(namespace).Patch(t.Context(), "tidegate-webhook-tls", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Minute, "the webhook makes a certificate", func() error {
		if now := c.certificate(t); now == "" || now == before {
			return errors.New("there is none yet")
		}
		return nil
	})
}

func (c *cluster) webhookEnv(t *testing.T, env []corev1.EnvVar) {
	t.Helper()
	ctx, cancel := deadline(time.Minute)
	defer cancel()
	deployments := c.kube.AppsV1().Deployments(namespace)
	d, err := deployments.Get(ctx, webhookName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d.Spec.Template.Spec.Containers[0].Env = env
	if _, err := deployments.Update(ctx, d, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// certificate is the webhook's certificate now.
func (c *cluster) certificate(t *testing.T) string {
	t.Helper()
	s, err := c.kube.CoreV1().Secrets(namespace).Get(t.Context(), "tidegate-webhook-tls", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return string(s.Data["tls.crt"])
}

// failedOpen is how many calls of our webhooks the API server gave up on so far.
func (c *cluster) failedOpen(t *testing.T) int {
	t.Helper()
	body, err := c.kube.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, match := range regexp.MustCompile(`(?m)^apiserver_admission_webhook_fail_open_count\{[^}]*tidegate[^}]*\} (\S+)$`).FindAllSubmatch(body, -1) {
		n, err := strconv.ParseFloat(string(match[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		total += int(n)
	}
	return total
}
