package certificate

import (
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	admission "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"
)

// tell makes both configurations trust a bundle, and be of a version.
func tell(t *testing.T, client *fake.Clientset, bundle, version string) {
	t.Helper()
	mutating := &admission.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "tidegate", ResourceVersion: version},
		Webhooks:   []admission.MutatingWebhook{{Name: "pods"}, {Name: "scales"}},
	}
	for i := range mutating.Webhooks {
		mutating.Webhooks[i].ClientConfig.CABundle = []byte(bundle)
	}
	validating := &admission.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "tidegate", ResourceVersion: version},
		Webhooks:   []admission.ValidatingWebhook{{Name: "scaledobjects", ClientConfig: admission.WebhookClientConfig{CABundle: []byte(bundle)}}},
	}
	for resource, object := range map[string]runtime.Object{"mutatingwebhookconfigurations": mutating, "validatingwebhookconfigurations": validating} {
		if err := client.Tracker().Update(admission.SchemeGroupVersion.WithResource(resource), object, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// fill puts data into the webhook's Secret.
func fill(t *testing.T, client *fake.Clientset, data contents) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "tidegate", Name: "webhook-tls"}, Data: data}
	if err := client.Tracker().Update(corev1.SchemeGroupVersion.WithResource("secrets"), secret, "tidegate"); err != nil {
		t.Fatal(err)
	}
}

// olderAndNewer are what a Secret held before and after an authority was added; making keys takes long.
var olderAndNewer = sync.OnceValues(func() (older, newer contents) {
	older, _, errOlder := Renew(nil, want, terms, time.Now().Add(-16*time.Minute))
	newer, _, errNewer := Renew(older, want, terms, time.Now())
	if err := errors.Join(errOlder, errNewer); err != nil {
		panic(err)
	}
	return older, newer
})

func TestAnOlderWordDoesNotFollowTheNewerOne(t *testing.T) {
	older, newer := olderAndNewer()
	if string(older[keyCA]) == string(newer[keyCA]) {
		t.Fatal("no authority was added: the test shows nothing")
	}
	kept := Kept{Namespace: "tidegate", Secret: "webhook-tls", Subject: want, Configuration: "tidegate"}

	t.Run("the other replica was done before the configuration was read", func(t *testing.T) {
		client := cluster()
		fill(t, client, newer)
		tell(t, client, string(newer[keyCA]), "7")
		if err := keeper(client).announce(t.Context(), kept, open(older, time.Now()).trust()); err != nil {
			t.Error(err)
		}
		if got := string(trusted(t, client)[keyCA]); got != string(newer[keyCA]) {
			t.Error("the newest authority is trusted no more: the webhook shows what nobody believes")
		}
	})
	t.Run("the other replica was done before the configuration was written", func(t *testing.T) {
		client := cluster()
		fill(t, client, older)
		tell(t, client, "", "7")
		var once sync.Once
		client.PrependReactor("patch", "*", func(kubetesting.Action) (bool, runtime.Object, error) {
			once.Do(func() {
				fill(t, client, newer)
				tell(t, client, string(newer[keyCA]), "8")
			})
			return false, nil, nil
		})
		_ = keeper(client).announce(t.Context(), kept, open(older, time.Now()).trust()) // one of the two is refused
		if got := string(trusted(t, client)[keyCA]); got != string(newer[keyCA]) {
			t.Error("the newest authority is trusted no more: the webhook shows what nobody believes")
		}
	})
}

func TestNobodyIsToldToTrustNobody(t *testing.T) {
	client := cluster()
	older, _ := olderAndNewer()
	without := maps.Clone(older)
	delete(without, keyCA)
	fill(t, client, without)
	tell(t, client, "somebody", "7")
	kept := Kept{Namespace: "tidegate", Secret: "webhook-tls", Subject: want, Configuration: "tidegate"}
	if err := keeper(client).announce(t.Context(), kept, nil); err == nil || !strings.Contains(err.Error(), "holds no authority") {
		t.Errorf("%v", err)
	}
	if got := string(trusted(t, client)[keyCA]); got != "somebody" {
		t.Errorf("the API server now trusts %q: every review fails", got)
	}
}
