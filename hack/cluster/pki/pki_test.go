package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/hack/cluster/pki"
)

func parse(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("no PEM: %q", text)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestACertificateProvesItsSubjectAsServerAndClient(t *testing.T) {
	now := time.Now()
	ca, err := pki.NewAuthority("kubernetes", "tidegate", now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(pki.Subject{Name: "system:node:node0", Groups: []string{"system:nodes"}, DNS: []string{"node0"}, IPs: []string{"10.99.0.1"}}, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(pair.Certificate, pair.Key); err != nil {
		t.Fatal(err)
	}
	leaf := parse(t, pair.Certificate)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.Certificate)
	for _, host := range []string{"node0", "10.99.0.1"} {
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
				t.Errorf("%s, usage %v: %v", host, usage, err)
			}
		}
	}
	if leaf.Subject.CommonName != "system:node:node0" || !slices.Equal(leaf.Subject.Organization, []string{"system:nodes"}) {
		t.Errorf("subject %s: Kubernetes reads user and groups from it", leaf.Subject)
	}
	stranger, err := pki.NewAuthority("kubernetes", "tidegate", now)
	if err != nil {
		t.Fatal(err)
	}
	others := x509.NewCertPool()
	others.AppendCertsFromPEM(stranger.Certificate)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: others}); err == nil {
		t.Error("an authority of the same name vouches for it")
	}
}

func TestARotatorTakesAnAuthorityOver(t *testing.T) {
	ca, err := pki.NewAuthority("KEDA", "KEDAORG", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(ca.Key)
	if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
		t.Errorf("cert-controller cannot read the key, and KEDA's webhooks get no CA bundle: %v", err)
	}
	if err := parse(t, ca.Certificate).VerifyHostname("KEDA"); err != nil {
		t.Errorf("cert-controller takes the authority for invalid and makes its own, which costs a restart: %v", err)
	}
}

func TestAWrongAddressIsNamed(t *testing.T) {
	ca, err := pki.NewAuthority("kubernetes", "tidegate", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Issue(pki.Subject{Name: "api", IPs: []string{"10.99.0"}}, time.Now()); err == nil || !strings.Contains(err.Error(), "10.99.0") {
		t.Errorf("error %v", err)
	}
}

func TestKeysAreReadableByTheirOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	ca, err := pki.NewAuthority("kubernetes", "tidegate", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Save(dir, "ca"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "ca.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
