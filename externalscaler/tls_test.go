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
	"net"
	"net/http"
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
	"github.com/tidegate/tidegate/internal/keys"
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
		{"a certificate that is none", []byte("hello"), key, a.pem, "--tls-cert-file"},
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

// On a new cluster the Secret is filled after the scaler has started.
func TestRunWaitsForItsCertificate(t *testing.T) {
	a := newAuthority(t, "a")
	cert, key := a.issue(t, "scaler")
	f := newFiles(t)
	write(t, f.key, nil) // a key of the Secret that nobody has filled
	o := options()
	o.Listen, o.AdminListen = freePort(t), freePort(t)
	o.CertFile, o.KeyFile, o.ClientCAFile = f.cert, f.key, f.ca
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- externalscaler.Run(ctx, o, newBook(decided(1, 4)), quiet()) }()
	admin := "http://" + o.AdminListen
	eventually(t, "alive", func() bool { return probe(admin+keys.PathHealth) == http.StatusOK })
	if code := probe(admin + keys.PathReady); code != http.StatusServiceUnavailable {
		t.Errorf("readiness is %d without a certificate: KEDA would be sent here", code)
	}
	if err := calls(t, o.Listen, trusting(t, a, &a)); status.Code(err) != codes.Unavailable {
		t.Errorf("a call without a certificate came to %v, want it refused at once", err)
	}
	write(t, f.cert, cert)
	write(t, f.key, key)
	write(t, f.ca, a.pem)
	eventually(t, "ready", func() bool { return probe(admin+keys.PathReady) == http.StatusOK })
	if err := calls(t, o.Listen, trusting(t, a, &a)); err != nil {
		t.Errorf("a call with the certificate: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
}

// freePort is an address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// probe is the status of an answer, 0 without one.
func probe(url string) int {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	late := time.After(20 * time.Second)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("not %s within 20 s", what)
		}
	}
}
