// Package pki makes the cluster's certificates. They live as long as one cluster, so keys are small and nothing rotates.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// life is far longer than a local cluster runs.
const life = 365 * 24 * time.Hour

// Pair is a certificate and its key, both PEM.
type Pair struct {
	Certificate []byte
	Key         []byte
}

// Authority signs certificates.
type Authority struct {
	Pair
	certificate *x509.Certificate
	key         *rsa.PrivateKey
}

// Subject is who a certificate is for, as a server and as a client.
type Subject struct {
	// Name is the user name for Kubernetes, Groups its groups.
	Name   string
	Groups []string
	DNS    []string
	IPs    []string
}

// authorityBits is the size of an authority's key.
const authorityBits = 2048

// NewAuthority makes a self-signed authority as cert-controller makes its own, so that programs which rotate their
// certificates by it take one over: an RSA key in PKCS #1, and its name also as a DNS name.
func NewAuthority(name, organization string, now time.Time) (*Authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name, Organization: []string{organization}},
		DNSNames:              []string{name},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	key, err := rsa.GenerateKey(rand.Reader, authorityBits)
	if err != nil {
		return nil, fmt.Errorf("make the key of authority %s: %w", name, err)
	}
	certificate, err := sign(template, template, key.Public(), key, now)
	if err != nil {
		return nil, fmt.Errorf("make authority %s: %w", name, err)
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("read authority %s back: %w", name, err)
	}
	pair := Pair{Certificate: armor("CERTIFICATE", certificate), Key: armor("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))}
	return &Authority{Pair: pair, certificate: parsed, key: key}, nil
}

// Issue signs a certificate for a subject.
func (a *Authority) Issue(s Subject, now time.Time) (Pair, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: s.Name, Organization: s.Groups},
		DNSNames:              s.DNS,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	for _, text := range s.IPs {
		address := net.ParseIP(text)
		if address == nil {
			return Pair{}, fmt.Errorf("certificate for %s: %q is no IP address", s.Name, text)
		}
		template.IPAddresses = append(template.IPAddresses, address)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make the key of %s: %w", s.Name, err)
	}
	certificate, errSign := sign(template, a.certificate, key.Public(), a.key, now)
	private, errKey := x509.MarshalECPrivateKey(key)
	if err := errors.Join(errSign, errKey); err != nil {
		return Pair{}, fmt.Errorf("certificate for %s: %w", s.Name, err)
	}
	return Pair{Certificate: armor("CERTIFICATE", certificate), Key: armor("EC PRIVATE KEY", private)}, nil
}

// sign completes a certificate and signs it.
func sign(template, parent *x509.Certificate, key crypto.PublicKey, by crypto.Signer, now time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	// An hour back: a clock that is set while the cluster runs must not end it.
	template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.Add(life)
	return x509.CreateCertificate(rand.Reader, template, parent, key, by)
}

func armor(kind string, content []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
}

// SigningKey makes the key pair of service account tokens: the private key as PEM, and the public one.
func SigningKey() (private, public []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make the service account key: %w", err)
	}
	one, errOne := x509.MarshalECPrivateKey(key)
	two, errTwo := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err := errors.Join(errOne, errTwo); err != nil {
		return nil, nil, fmt.Errorf("write the service account key: %w", err)
	}
	return armor("EC PRIVATE KEY", one), armor("PUBLIC KEY", two), nil
}

// Save writes a pair as NAME.crt and NAME.key.
func (p Pair) Save(dir, name string) error {
	return errors.Join(
		os.WriteFile(filepath.Join(dir, name+".crt"), p.Certificate, 0o600),
		os.WriteFile(filepath.Join(dir, name+".key"), p.Key, 0o600),
	)
}
