package certificate

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"time"
)

// The keys of a Secret that holds a certificate with its authority.
const (
	keyCA      = "ca.crt"
	keyCAKey   = "ca.key"
	keyLeaf    = "tls.crt"
	keyLeafKey = "tls.key"
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	pem         []byte
}

// bundle is what a Secret holds, as far as it can be read: what cannot is nil, and made anew.
type bundle struct {
	// authorities are those that callers are to trust, the newest first.
	authorities []authority
	// signer is the key of the newest authority.
	signer *rsa.PrivateKey
	leaf   *x509.Certificate
	pair   *tls.Certificate
}

// open reads a Secret's data; authorities that have expired are left out.
func open(data map[string][]byte, now time.Time) bundle {
	var b bundle
	for rest := data[keyCA]; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if ca, err := x509.ParseCertificate(block.Bytes); err == nil && ca.IsCA && now.Before(ca.NotAfter) {
			b.authorities = append(b.authorities, authority{certificate: ca, pem: pem.EncodeToMemory(block)})
		}
	}
	if len(b.authorities) > 0 {
		if pair, err := tls.X509KeyPair(b.authorities[0].pem, data[keyCAKey]); err == nil {
			b.signer, _ = pair.PrivateKey.(*rsa.PrivateKey)
		}
	}
	if pair, err := tls.X509KeyPair(data[keyLeaf], data[keyLeafKey]); err == nil {
		b.pair, b.leaf = &pair, pair.Leaf
	}
	return b
}

// trust is the PEM text of all authorities.
func (b bundle) trust() []byte {
	var out []byte
	for _, a := range b.authorities {
		out = append(out, a.pem...)
	}
	return out
}

// issuer is the index of the authority that signed the leaf, -1 for none.
func (b bundle) issuer() int {
	return slices.IndexFunc(b.authorities, func(a authority) bool { return b.leaf.CheckSignatureFrom(a.certificate) == nil })
}

// fits reports what the leaf lacks of what is wanted of it.
func (b bundle) fits(want Subject, now time.Time) error {
	switch {
	case b.leaf == nil:
		return errors.New("there is no certificate with its key")
	case now.After(b.leaf.NotAfter):
		return errors.New("the certificate has expired")
	case b.issuer() < 0:
		return errors.New("no trusted authority signed the certificate")
	}
	for _, name := range want.names() {
		if !slices.Contains(b.leaf.DNSNames, name) {
			return errors.New("the certificate lacks the name " + name)
		}
	}
	for _, usage := range want.Usages {
		if !slices.Contains(b.leaf.ExtKeyUsage, usage) {
			return errors.New("the certificate lacks a usage")
		}
	}
	if len(b.leaf.ExtKeyUsage) > len(want.Usages) {
		return errors.New("the certificate has a usage that it should not have")
	}
	return nil
}
