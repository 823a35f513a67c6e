package keda

import (
	"crypto/x509"
	"encoding/json"
	"testing"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
)

func TestKEDAKeepsTheCertificatesThatItFinds(t *testing.T) {
	now := time.Now()
	text, err := certificates(now)
	if err != nil {
		t.Fatal(err)
	}
	var secret struct {
		Metadata struct{ Name, Namespace string }
		Data     map[string][]byte
	}
	if err := json.Unmarshal(text, &secret); err != nil {
		t.Fatal(err)
	}
	if secret.Metadata.Name != "kedaorg-certs" || secret.Metadata.Namespace != "keda" {
		t.Errorf("secret %s in %s: KEDA would not find it", secret.Metadata.Name, secret.Metadata.Namespace)
	}
	// As far ahead as KEDA's rotator looks.
	soon, d := now.Add(90*24*time.Hour), secret.Data
	if ok, err := rotator.ValidCert(d["ca.crt"], d["ca.crt"], d["ca.key"], "KEDA", nil, soon); !ok {
		t.Errorf("the authority: %v: KEDA would make its own and restart", err)
	}
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, name := range []string{"keda-operator", "keda-operator.keda.svc.cluster.local", "keda-metrics-apiserver.keda.svc", "keda-admission-webhooks.keda.svc"} {
		if ok, err := rotator.ValidCert(d["ca.crt"], d["tls.crt"], d["tls.key"], name, &usages, soon); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
