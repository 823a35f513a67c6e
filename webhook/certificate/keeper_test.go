package certificate

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	admission "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster has both Secrets, empty, and both configurations, that trust nobody.
func cluster() *fake.Clientset {
	secret := func(name string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "tidegate", Name: name}}
	}
	hook := func(name string) admission.MutatingWebhook { return admission.MutatingWebhook{Name: name} }
	return fake.NewClientset(secret("webhook-tls"), secret("scaler-tls"),
		&admission.MutatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "tidegate"}, Webhooks: []admission.MutatingWebhook{hook("pods"), hook("scales")},
		},
		&admission.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "tidegate"}, Webhooks: []admission.ValidatingWebhook{{Name: "scaledobjects"}},
		})
}

func keeper(client *fake.Clientset) *Keeper {
	return &Keeper{
		Client: client, Terms: terms, Interval: 20 * time.Second, Now: time.Now, Expiry: func(string, time.Time) {},
		Kept: []Kept{
			{Namespace: "tidegate", Secret: "webhook-tls", Subject: want, Configuration: "tidegate"},
			{Namespace: "tidegate", Secret: "scaler-tls", Subject: want},
		},
		Logger: slog.New(slog.DiscardHandler),
	}
}

func secretOf(t *testing.T, client *fake.Clientset, name string) contents {
	t.Helper()
	secret, err := client.CoreV1().Secrets("tidegate").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return secret.Data
}

// trusted is what the API server would trust, which must be the same for every hook.
func trusted(t *testing.T, client *fake.Clientset) contents {
	t.Helper()
	mutating, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), "tidegate", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	validating, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), "tidegate", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bundle := validating.Webhooks[0].ClientConfig.CABundle
	for _, hook := range mutating.Webhooks {
		if string(hook.ClientConfig.CABundle) != string(bundle) {
			t.Fatalf("webhook %s trusts somebody else", hook.Name)
		}
	}
	return contents{keyCA: bundle}
}

func TestOneLookMakesEverythingWork(t *testing.T) {
	client := cluster()
	k := keeper(client)
	if k.Ready() {
		t.Error("ready without a certificate")
	}
	if _, err := k.Serve(nil); err == nil {
		t.Error("served a certificate that there is not")
	}
	if err := k.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	shown, err := k.Serve(nil)
	if err != nil || !k.Ready() {
		t.Fatalf("no certificate is served: %v", err)
	}
	data := secretOf(t, client, "webhook-tls")
	if err := verify(t, trusted(t, client), data, time.Now()); err != nil {
		t.Errorf("the API server refuses the webhook: %v", err)
	}
	if string(shown.Leaf.Raw) != string(open(data, time.Now()).leaf.Raw) {
		t.Error("another certificate than the Secret's is served")
	}
	scaler := secretOf(t, client, "scaler-tls")
	if err := verify(t, scaler, scaler, time.Now()); err != nil {
		t.Errorf("the scaler's certificate: %v", err)
	}
	client.ClearActions()
	if err := k.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, action := range client.Actions() {
		if action.GetVerb() != "get" {
			t.Errorf("a look that finds all well does %s %s", action.GetVerb(), action.GetResource().Resource)
		}
	}
}

func TestTwoReplicasShareOneCertificate(t *testing.T) {
	client := cluster()
	// The fake has no optimistic locking of its own.
	var mu sync.Mutex
	written := make(map[string]bool)
	client.PrependReactor("update", "secrets", func(action kubetesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		name := action.(kubetesting.UpdateAction).GetObject().(*corev1.Secret).Name
		if written[name] {
			return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, name, errors.New("the other was faster"))
		}
		written[name] = true
		return false, nil, nil
	})
	a, b := keeper(client), keeper(client)
	a.Kept, b.Kept = a.Kept[:1], b.Kept[:1]
	var group sync.WaitGroup
	for _, k := range []*Keeper{a, b} {
		group.Go(func() {
			if err := k.Look(t.Context()); err != nil {
				t.Errorf("a replica failed: %v", err)
			}
		})
	}
	group.Wait()
	one, errOne := a.Serve(nil)
	two, errTwo := b.Serve(nil)
	if errOne != nil || errTwo != nil || string(one.Leaf.Raw) != string(two.Leaf.Raw) {
		t.Errorf("the replicas serve different certificates: %v, %v", errOne, errTwo)
	}
	if err := verify(t, trusted(t, client), secretOf(t, client, "webhook-tls"), time.Now()); err != nil {
		t.Errorf("the API server refuses the webhook: %v", err)
	}
}

func TestAConfigurationThatForgotIsToldAgain(t *testing.T) {
	client := cluster()
	k := keeper(client)
	k.Kept = k.Kept[:1]
	if err := k.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := trusted(t, client)
	mutating, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), "tidegate", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mutating.Webhooks[1].ClientConfig.CABundle = nil
	if _, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Update(t.Context(), mutating, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := k.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if string(trusted(t, client)[keyCA]) != string(before[keyCA]) {
		t.Error("the configuration was not mended")
	}
}

func TestWhatIsMissingIsSaidAndServedRound(t *testing.T) {
	client := cluster()
	k := keeper(client)
	if err := client.CoreV1().Secrets("tidegate").Delete(t.Context(), "scaler-tls", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(t.Context(), "tidegate", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	err := k.Look(t.Context())
	for _, word := range []string{"secret tidegate/scaler-tls is missing: create it", "ValidatingWebhookConfiguration tidegate"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v: want words on %q", err, word)
		}
	}
	if !k.Ready() {
		t.Error("pods are not injected because something else is missing")
	}
}

func TestAFrozenKeeperMakesNothing(t *testing.T) {
	client := cluster()
	k := keeper(client)
	k.Frozen = true
	if err := k.Look(t.Context()); err == nil || !strings.Contains(err.Error(), "holds no certificate") {
		t.Errorf("%v: want to be told that nobody filled the Secret", err)
	}
	data, _ := renew(t, nil, time.Now())
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "tidegate", Name: "webhook-tls"}, Data: data}
	delete(data, keyCAKey)
	if _, err := client.CoreV1().Secrets("tidegate").Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	tell(t, client, "their authority", "")
	_ = k.Look(t.Context()) // the scaler's is still missing
	if !k.Ready() {
		t.Error("cert-manager's certificate is not served")
	}
	if got := string(trusted(t, client)[keyCA]); got != "their authority" {
		t.Errorf("the API server trusts %q: what cert-manager had told it was overwritten", got)
	}
}

func TestTheKeeperStartsWhileTheAPIServerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := cluster()
		var away atomic.Bool
		away.Store(true)
		client.PrependReactor("*", "*", func(kubetesting.Action) (bool, runtime.Object, error) {
			return away.Load(), nil, errors.New("connection refused")
		})
		k := keeper(client)
		k.Kept = k.Kept[:1]
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); k.Run(ctx) }()
		synctest.Wait()
		if k.Ready() {
			t.Error("ready without a certificate")
		}
		away.Store(false)
		<-time.After(retryInterval)
		synctest.Wait()
		if !k.Ready() {
			t.Error("not ready a second after the API server came back")
		}
		cancel()
		<-done
	})
}

func TestACertificateOfMinutesIsRotatedWhileTheKeeperRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := cluster()
		k := keeper(client)
		k.Kept = k.Kept[:1]
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); k.Run(ctx) }()
		serials := make(map[string]bool)
		for range 60 {
			<-time.After(20 * time.Second)
			synctest.Wait()
			shown, err := k.Serve(nil)
			if err != nil || !k.Ready() {
				t.Fatal("there is no valid certificate")
			}
			serials[string(shown.Leaf.Raw)] = true
			if err := verify(t, trusted(t, client), secretOf(t, client, "webhook-tls"), time.Now()); err != nil {
				t.Fatalf("the API server refuses the webhook: %v", err)
			}
		}
		if len(serials) < 3 {
			t.Errorf("%d certificates in 20 minutes of 10 each: it was not rotated", len(serials))
		}
		cancel()
		<-done
	})
}
