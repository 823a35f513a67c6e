package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	serverOnly = Subject{Name: "tidegate-scaler.tidegate.svc", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	callerOnly = Subject{Name: "tidegate-keda", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
)

// believed checks whether one end, which trusts the authorities of one Secret, believes the other, which shows another's.
func believed(trust, shown contents, usage x509.ExtKeyUsage, at time.Time) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trust[keyCA])
	pair, err := tls.X509KeyPair(shown[keyLeaf], shown[keyLeafKey])
	if err != nil {
		return err
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}})
	return err
}

// TestBothEndsBelieveEachOtherWhateverIsRenewed plays the renewal of the authority. Each end may be behind by 90 s.
func TestBothEndsBelieveEachOtherWhateverIsRenewed(t *testing.T) {
	const (
		look = 20 * time.Second
		lag  = 4
	)
	var server, caller contents
	var servers, callers []contents
	authorities := 0
	for at := now; at.Before(now.Add(20 * time.Minute)); at = at.Add(look) {
		next, _, err := Renew(server, serverOnly, terms, at)
		if err != nil {
			t.Fatal(err)
		}
		if string(next[keyCA]) != string(server[keyCA]) {
			authorities++
		}
		server = next
		if caller, _, err = Issue(caller, server, callerOnly, terms, at); err != nil {
			t.Fatal(err)
		}
		if again, reason, err := Issue(caller, server, callerOnly, terms, at); err != nil || reason != "" {
			t.Fatalf("issued again at once, because %s, %v: %d", reason, err, len(again))
		}
		servers, callers = append(servers, server), append(callers, caller)
		servers, callers = servers[max(0, len(servers)-lag):], callers[max(0, len(callers)-lag):]
		for _, s := range servers {
			for _, c := range callers {
				if err := believed(c, s, x509.ExtKeyUsageServerAuth, at); err != nil {
					t.Fatalf("after %s KEDA refuses the scaler: %v", at.Sub(now), err)
				}
				if err := believed(s, c, x509.ExtKeyUsageClientAuth, at); err != nil {
					t.Fatalf("after %s the scaler refuses KEDA: %v", at.Sub(now), err)
				}
			}
		}
	}
	if authorities < 2 {
		t.Errorf("%d authorities were made: the test shows nothing", authorities)
	}
}

func TestWhoReadsTheCallersSecretCannotBeTakenForTheServer(t *testing.T) {
	server, _, err := Renew(nil, serverOnly, terms, now)
	if err != nil {
		t.Fatal(err)
	}
	caller, _, err := Issue(nil, server, callerOnly, terms, now)
	if err != nil {
		t.Fatal(err)
	}
	if len(caller[keyCAKey]) > 0 {
		t.Error("the Secret holds the authority's key: whoever reads it signs what he likes")
	}
	if err := believed(server, caller, x509.ExtKeyUsageServerAuth, now); err == nil {
		t.Error("KEDA believes that the caller's certificate is the scaler's")
	}
	if err := believed(server, server, x509.ExtKeyUsageClientAuth, now); err == nil {
		t.Error("the scaler's certificate is good for a caller too")
	}
	with := maps.Clone(caller)
	with[keyCAKey] = server[keyCAKey]
	if next, reason, err := Issue(with, server, callerOnly, terms, now); err != nil || !strings.Contains(reason, "does not belong here") || len(next[keyCAKey]) > 0 {
		t.Errorf("an authority's key stays: %q, %v", reason, err)
	}
	if _, _, err := Issue(nil, caller, callerOnly, terms, now); err == nil || !strings.Contains(err.Error(), "no valid authority") {
		t.Errorf("issued without an authority: %v", err)
	}
}

// A certificate for both ends, which earlier versions made, is replaced.
func TestACertificateThatMayMoreIsMadeAnew(t *testing.T) {
	next, reason, err := Renew(filled()[0], Subject{Name: want.Name, Others: want.Others, Usages: serverOnly.Usages}, terms, now)
	if err != nil || !strings.Contains(reason, "a usage that it should not have") {
		t.Errorf("reason %q, %v", reason, err)
	}
	if err := believed(filled()[0], next, x509.ExtKeyUsageClientAuth, now); err == nil {
		t.Error("the server's certificate still is good for a caller")
	}
}

func TestTheKeeperIssuesFromAnotherSecret(t *testing.T) {
	client := cluster()
	keda := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "tidegate", Name: "keda-tls"}}
	if err := client.Tracker().Add(keda); err != nil {
		t.Fatal(err)
	}
	k := keeper(client)
	k.Kept = []Kept{
		{Namespace: "tidegate", Secret: "scaler-tls", Subject: serverOnly},
		{Namespace: "tidegate", Secret: "keda-tls", Issuer: "scaler-tls", Subject: callerOnly},
	}
	if err := k.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	server, caller := secretOf(t, client, "scaler-tls"), secretOf(t, client, "keda-tls")
	if err := believed(server, caller, x509.ExtKeyUsageClientAuth, time.Now()); err != nil {
		t.Errorf("the scaler refuses KEDA: %v", err)
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
