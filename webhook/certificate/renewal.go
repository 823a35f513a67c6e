// Package certificate keeps the certificates of the webhook and of the scaler valid, unseen by those who trust them.
//
// Certificates are made by cert-controller. Its own rotator is not used: it waits for a mounted Secret, which takes up to a
// minute to show a change, watches every Secret of the namespace, ends the process when the API server is away at start,
// and swaps the authority in one step, so that for a moment callers trust one and are shown the other. Here an authority is
// announced first and signs later, certificates are served from memory, and a few Secrets and two configurations are all
// that is read, by name. Replicas need no leader: they write with optimistic locking, and who loses takes what the other wrote.
package certificate

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"maps"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
)

// Subject is whom a certificate is for.
type Subject struct {
	// Name is the first DNS name, and Others the rest.
	Name   string
	Others []string
	Usages []x509.ExtKeyUsage
}

func (s Subject) names() []string { return append([]string{s.Name}, s.Others...) }

// Terms are how long certificates are valid.
type Terms struct {
	// Validity is that of a certificate, which is replaced when less than RenewBefore of it is left.
	Validity, RenewBefore time.Duration
	// Authority is the validity of an authority, which is replaced when less than Validity is left, so that it outlives
	// what it signs.
	Authority time.Duration
}

const (
	// backdate is how far back a certificate's validity starts, for callers whose clock is behind.
	backdate = time.Hour
	// maxAnnouncement bounds how long a new authority is announced before it signs: a mounted Secret and a configuration
	// have reached everybody by then.
	maxAnnouncement = 5 * time.Minute
	// keptAuthorities are the older authorities that stay trusted until they expire.
	keptAuthorities = 2

	authorityName = "tidegate"
)

// announcement is how long a new authority is trusted before it signs.
func (t Terms) announcement() time.Duration { return min(t.RenewBefore/2, maxAnnouncement) }

// Renew answers what a Secret should hold and why that differs from what it holds; an empty reason says that nothing does.
// The input is not changed.
func Renew(data map[string][]byte, want Subject, terms Terms, now time.Time) (next map[string][]byte, reason string, err error) {
	next = maps.Clone(data)
	if next == nil {
		next = make(map[string][]byte)
	}
	b := open(data, now)
	if why := b.needsAuthority(terms, now); why != "" {
		reason = why
		if err := announce(next, b, want, terms, now); err != nil {
			return data, "", err
		}
		b = open(next, now)
	}
	if why := b.needsLeaf(want, terms, now); why != "" {
		reason = join(reason, why)
		if err := sign(next, b, want, terms, now); err != nil {
			return data, "", err
		}
	}
	return next, reason, nil
}

// Issue answers what a Secret should hold that another Secret's authority is to sign for, and why that differs from what it
// holds; an empty reason says that nothing does. It gets no authority's key. The inputs are not changed.
func Issue(data, issuer map[string][]byte, want Subject, terms Terms, now time.Time) (next map[string][]byte, reason string, err error) {
	from := open(issuer, now)
	if len(from.authorities) == 0 || from.signer == nil {
		return data, "", fmt.Errorf("make a certificate for %s: its issuer has no valid authority with its key", want.Name)
	}
	next = maps.Clone(data)
	if next == nil {
		next = make(map[string][]byte)
	}
	if trust := from.trust(); !bytes.Equal(next[keyCA], trust) {
		next[keyCA], reason = trust, "the authorities are others"
	}
	if _, found := next[keyCAKey]; found {
		delete(next, keyCAKey)
		reason = join(reason, "an authority's key does not belong here")
	}
	b := open(next, now)
	b.signer = from.signer
	if why := b.needsLeaf(want, terms, now); why != "" {
		reason = join(reason, why)
		if err := sign(next, b, want, terms, now); err != nil {
			return data, "", err
		}
	}
	return next, reason, nil
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// needsAuthority says why a new authority is needed, if it is.
func (b bundle) needsAuthority(terms Terms, now time.Time) string {
	switch {
	case len(b.authorities) == 0:
		return "there is no valid authority"
	case b.signer == nil:
		return "the authority has no key that fits"
	case b.authorities[0].certificate.NotAfter.Sub(now) < terms.Validity:
		return "the authority would end before the next certificate"
	default:
		return ""
	}
}

// needsLeaf says why a new certificate is needed now, if it is. One that is merely due waits until the authority that
// would sign it has been announced.
func (b bundle) needsLeaf(want Subject, terms Terms, now time.Time) string {
	if err := b.fits(want, now); err != nil {
		return err.Error()
	}
	left := b.leaf.NotAfter.Sub(now)
	born := b.authorities[0].certificate.NotBefore.Add(backdate)
	announced := now.Sub(born) >= terms.announcement()
	switch {
	case !announced && left > terms.announcement():
		return ""
	case left < terms.RenewBefore:
		return "the certificate is due"
	case announced && b.issuer() > 0:
		return "the certificate is of an older authority"
	default:
		return ""
	}
}

// announce puts a new authority in front of those that are trusted.
func announce(data map[string][]byte, b bundle, want Subject, terms Terms, now time.Time) error {
	made, err := maker(want).CreateCACert(now.Add(-backdate), now.Add(terms.Authority))
	if err != nil {
		return fmt.Errorf("make an authority for %s: %w", want.Name, err)
	}
	b.authorities = append([]authority{{pem: made.CertPEM}}, b.authorities[:min(keptAuthorities, len(b.authorities))]...)
	data[keyCA], data[keyCAKey] = b.trust(), made.KeyPEM
	return nil
}

// sign makes a certificate by the newest authority.
func sign(data map[string][]byte, b bundle, want Subject, terms Terms, now time.Time) error {
	newest := b.authorities[0]
	ca := &rotator.KeyPairArtifacts{Cert: newest.certificate, Key: b.signer, CertPEM: newest.pem}
	leaf, key, err := maker(want).CreateCertPEM(ca, now.Add(-backdate), now.Add(terms.Validity))
	if err != nil {
		return fmt.Errorf("make a certificate for %s: %w", want.Name, err)
	}
	data[keyLeaf], data[keyLeafKey] = leaf, key
	return nil
}

// maker is cert-controller's maker of certificates.
func maker(want Subject) *rotator.CertRotator {
	return &rotator.CertRotator{
		CAName: authorityName, CAOrganization: authorityName,
		DNSName: want.Name, ExtraDNSNames: want.Others, ExtKeyUsages: &want.Usages,
	}
}
