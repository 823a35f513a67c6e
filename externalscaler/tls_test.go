package externalscaler_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/externalscaler"
)

// authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue signs a certificate for the loopback address and returns it and its key in PEM.
func (a authority) issue(t *testing.T, name string) (certPEM, keyPEM []byte) {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"scaler.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

// files are the TLS files of a test's server.
type files struct{ cert, key, ca string }

func newFiles(t *testing.T) files {
	t.Helper()
	dir := t.TempDir()
	return files{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// trusting are client credentials that accept servers of an authority and show a certificate of another, if any.
func trusting(t *testing.T, server authority, shown *authority) credentials.TransportCredentials {
	t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "scaler.test", MinVersion: tls.VersionTLS12}
	config.RootCAs.AddCert(server.cert)
	if shown != nil {
		pair, err := tls.X509KeyPair(shown.issue(t, "keda"))
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config)
}

// calls makes one call on a new connection.
func calls(t *testing.T, address string, creds credentials.TransportCredentials) error {
	t.Helper()
	conn := dial(t, address, creds)
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := pb.NewExternalScalerClient(conn).GetMetrics(ctx, ask(ref()))
	return err
}

func TestTLSFollowsItsFiles(t *testing.T) {
	first, second := newAuthority(t, "first"), newAuthority(t, "second")
	f := newFiles(t)
	rotate := func(a authority) {
		cert, key := a.issue(t, "scaler")
		write(t, f.cert, cert)
		write(t, f.key, key)
	}
	rotate(first)
	o := options()
	o.CertFile, o.KeyFile = f.cert, f.key
	address, _ := started(t, externalscaler.New(newBook(decided(1, 4)), quiet()), o)

	if err := calls(t, address, trusting(t, first, nil)); err != nil {
		t.Fatalf("TLS from files: %v", err)
	}
	if err := calls(t, address, nil); status.Code(err) != codes.Unavailable {
		t.Errorf("a caller without TLS was answered %v", err)
	}
	rotate(second)
	if err := calls(t, address, trusting(t, second, nil)); err != nil {
		t.Errorf("after the files changed new connections fail: %v: the certificate would expire under KEDA", err)
	}
	if err := calls(t, address, trusting(t, first, nil)); err == nil {
		t.Error("the old certificate is still served")
	}
	write(t, f.cert, []byte("half a certi"))
	if err := calls(t, address, trusting(t, second, nil)); err != nil {
		t.Errorf("a broken file ended the service: %v", err)
	}
	if err := os.Remove(f.key); err != nil {
		t.Fatal(err)
	}
	if err := calls(t, address, trusting(t, second, nil)); err != nil {
		t.Errorf("a missing file ended the service: %v", err)
	}
	rotate(first)
	if err := calls(t, address, trusting(t, first, nil)); err != nil {
		t.Errorf("after the files were repaired: %v", err)
	}
}

func TestMutualTLSFollowsItsFiles(t *testing.T) {
	server, keda, stranger := newAuthority(t, "server"), newAuthority(t, "keda"), newAuthority(t, "stranger")
	f := newFiles(t)
	cert, key := server.issue(t, "scaler")
	write(t, f.cert, cert)
	write(t, f.key, key)
	write(t, f.ca, keda.pem)
	o := options()
	o.CertFile, o.KeyFile, o.ClientCAFile = f.cert, f.key, f.ca
	address, _ := started(t, externalscaler.New(newBook(decided(1, 4)), quiet()), o)

	if err := calls(t, address, trusting(t, server, &keda)); err != nil {
		t.Fatalf("a caller with KEDA's certificate was refused: %v", err)
	}
	for name, shown := range map[string]*authority{"no certificate": nil, "a stranger's certificate": &stranger} {
		if err := calls(t, address, trusting(t, server, shown)); status.Code(err) != codes.Unavailable {
			t.Errorf("a caller with %s was answered %v", name, err)
		}
	}
	write(t, f.ca, stranger.pem)
	if err := calls(t, address, trusting(t, server, &keda)); err == nil {
		t.Error("a caller whose CA was withdrawn still connects")
	}
	if err := calls(t, address, trusting(t, server, &stranger)); err != nil {
		t.Errorf("the new client CA does not count: %v", err)
	}
}

func TestUnusableTLSFilesAreNamed(t *testing.T) {
	a, b := newAuthority(t, "a"), newAuthority(t, "b")
	cert, key := a.issue(t, "scaler")
	_, otherKey := b.issue(t, "other")
	tests := []struct {
		name          string
		cert, key, ca []byte
		says          string
	}{
		{"no certificate file", nil, key, a.pem, "--tls-cert-file"},
		{"no key file", cert, nil, a.pem, "--tls-key-file"},
		{"no client CA file", cert, key, nil, "--client-ca-file"},
		{"another certificate's key", cert, otherKey, a.pem, "its own key"},
		{"a client CA without a certificate", cert, key, []byte("hello"), "--client-ca-file"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			f := newFiles(t)
			for path, content := range map[string][]byte{f.cert: tc.cert, f.key: tc.key, f.ca: tc.ca} {
				if content != nil {
					write(t, path, content)
				}
			}
			o := options()
			o.CertFile, o.KeyFile, o.ClientCAFile = f.cert, f.key, f.ca
			err := externalscaler.Run(t.Context(), o, newBook(), quiet())
			if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "give") {
				t.Errorf("got %v: want the flag %s and the fix", err, tc.says)
			}
		})
	}
}
