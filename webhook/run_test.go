package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	registration "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/tidegate/tidegate/internal/scaledobject"
)

// TestTheProcessServesAndStops runs the whole process against a cluster that is a fake: certificates, TLS as the API server
// speaks it, the admin port, an Event, and a stop that answers what is under way.
func TestTheProcessServesAndStops(t *testing.T) {
	secret := func(name string) runtime.Object {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "tidegate", Name: name}}
	}
	client := fake.NewClientset(append(fleetOfThree(), secret("tidegate-webhook-tls"), secret("tidegate-scaler-tls"), secret("tidegate-keda-tls"),
		&registration.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "tidegate"}, Webhooks: []registration.MutatingWebhook{{Name: "pods"}}},
		&registration.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "tidegate"}, Webhooks: []registration.ValidatingWebhook{{Name: "triggers"}}})...)
	objects := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{scaledobject.Resource: "ScaledObjectList"})
	o := testOptions()
	o.Balancer = "http://127.0.0.1:1"
	reviews, operators := listenLocal(t), listenLocal(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, o, client, objects, reviews, operators, slog.New(slog.DiscardHandler)) }()

	admin := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(admin.CloseIdleConnections)
	base := "http://" + operators.Addr().String()
	eventually(t, "the webhook gets ready", func() bool {
		response, err := admin.Get(base + "/readyz")
		if err != nil {
			return false
		}
		defer func() { _ = response.Body.Close() }()
		return response.StatusCode == http.StatusOK
	})

	api := apiServer(t, client)
	answer := post(t, api, "https://"+reviews.Addr().String()+PathPods, createPod)
	if !answer.Response.Allowed || len(answer.Response.Patch) == 0 || answer.Response.UID != "u1" {
		t.Errorf("%+v", answer.Response)
	}
	// The balancer is not there: the scale-in goes through, and an Event says so.
	answer = post(t, api, "https://"+reviews.Addr().String()+PathStamp, scaleIn)
	if !answer.Response.Allowed || len(answer.Response.Warnings) != 1 {
		t.Errorf("%+v", answer.Response)
	}
	eventually(t, "an Event on the Deployment", func() bool {
		list, err := client.CoreV1().Events("chat").List(t.Context(), metav1.ListOptions{})
		told := make(map[string]bool)
		for _, event := range list.Items {
			told[event.InvolvedObject.Name+" "+event.Reason] = true
		}
		return err == nil && told["socket BalancerUnreachable"]
	})
	for _, name := range []string{
		`tidegate_webhook_admissions_total{handler="pods",result="allowed"} 1`, `tidegate_webhook_admissions_total{handler="scale-in",result="warned"} 1`,
		`tidegate_webhook_certificate_expiry_timestamp_seconds{secret="tidegate-webhook-tls"}`, `tidegate_webhook_certificate_expiry_timestamp_seconds{secret="tidegate-scaler-tls"}`,
		`tidegate_webhook_certificate_expiry_timestamp_seconds{secret="tidegate-keda-tls"}`,
		`tidegate_webhook_uninjected_pods{namespace="chat"} 3`, `tidegate_webhook_balancer_errors_total 1`, `tidegate_webhook_troubles_total{fleet="chat/socket",reason="BalancerUnreachable"} 1`,
	} {
		eventually(t, "the metric "+name, func() bool {
			response, err := admin.Get(base + "/metrics")
			if err != nil {
				return false
			}
			defer func() { _ = response.Body.Close() }()
			text, err := io.ReadAll(response.Body)
			return err == nil && strings.Contains(string(text), name)
		})
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("a stop that was asked for: %v", err)
	}
}

func TestBadOptionsEndTheProcessBeforeItStarts(t *testing.T) {
	o := testOptions()
	o.Balancer = "nowhere"
	if err := Run(t.Context(), o, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "--balancer-admin-url") {
		t.Errorf("%v", err)
	}
	o = testOptions()
	o.Kubeconfig = "/does/not/exist"
	if err := Run(t.Context(), o, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "give --kubeconfig") {
		t.Errorf("%v", err)
	}
}

func listenLocal(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// apiServer is a client that trusts what the API server would trust.
func apiServer(t *testing.T, client *fake.Clientset) *http.Client {
	t.Helper()
	configuration, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), "tidegate", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(configuration.Webhooks[0].ClientConfig.CABundle) {
		t.Fatal("the API server was not told whom to trust")
	}
	c := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool, ServerName: "tidegate-webhook.tidegate.svc", MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
	}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func post(t *testing.T, api *http.Client, url, body string) admissionv1.AdmissionReview {
	t.Helper()
	response, err := api.Post(url, "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.ProtoMajor != 2 {
		t.Errorf("spoken over %s, want HTTP/2 as the API server does", response.Proto)
	}
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(response.Body).Decode(&review); err != nil || review.Response == nil {
		t.Fatalf("no review: %v", err)
	}
	return review
}

// eventually polls until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !holds() {
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		}
	}
}
