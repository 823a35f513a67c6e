package certificate

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	now   = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	terms = Terms{Validity: 10 * time.Minute, RenewBefore: 4 * time.Minute, Authority: 25 * time.Minute}
	want  = Subject{
		Name: "tidegate-webhook.tidegate.svc", Others: []string{"tidegate-webhook"},
		Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
)

type contents = map[string][]byte

func renew(t *testing.T, data contents, at time.Time) (contents, string) {
	t.Helper()
	before := maps.Clone(data)
	next, reason, err := Renew(data, want, terms, at)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range before {
		if !bytes.Equal(data[key], value) {
			t.Fatal("the input was changed")
		}
	}
	return next, reason
}

// filled is a Secret that was filled now, and another; making keys takes long.
var filled = sync.OnceValue(func() (two [2]contents) {
	for i := range two {
		data, _, err := Renew(nil, want, terms, now)
		if err != nil {
			panic(err)
		}
		two[i] = data
	}
	return two
})

// verify checks, as a caller that trusts one state of the Secret, a server that shows another.
func verify(t *testing.T, trust, shown contents, at time.Time) error {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(trust[keyCA]) {
		t.Fatal("there is nothing to trust")
	}
	pair, err := tls.X509KeyPair(shown[keyLeaf], shown[keyLeafKey])
	if err != nil {
		return err
	}
	for _, name := range want.names() {
		options := x509.VerifyOptions{DNSName: name, Roots: pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
		if _, err := pair.Leaf.Verify(options); err != nil {
			return err
		}
	}
	return nil
}

func TestAnEmptySecretIsFilled(t *testing.T) {
	data := filled()[0]
	if err := verify(t, data, data, now); err != nil {
		t.Errorf("what was made is not valid: %v", err)
	}
	if err := verify(t, data, data, now.Add(-30*time.Minute)); err != nil {
		t.Errorf("a caller whose clock is behind by half an hour refuses it: %v", err)
	}
	if again, reason := renew(t, data, now.Add(time.Minute)); reason != "" {
		t.Errorf("renewed again after a minute, because %s: %v", reason, len(again))
	}
}

func TestWhyACertificateIsMadeAnew(t *testing.T) {
	good, other := filled()[0], filled()[1]
	with := func(changes contents) contents {
		data := maps.Clone(good)
		maps.Copy(data, changes)
		return data
	}
	cases := []struct {
		name   string
		data   contents
		at     time.Time
		reason string
		sameCA bool
	}{
		{"it is due", good, now.Add(6*time.Minute + time.Second), "is due", true},
		{"it has expired while nobody looked", good, now.Add(11 * time.Minute), "has expired", true},
		{"its key is another's", with(contents{keyLeafKey: other[keyLeafKey]}), now, "no certificate with its key", true},
		{"it is no certificate", with(contents{keyLeaf: []byte("text")}), now, "no certificate with its key", true},
		{"another authority signed it", with(contents{keyLeaf: other[keyLeaf], keyLeafKey: other[keyLeafKey]}), now, "no trusted authority", true},
		{"the authority's key is another's", with(contents{keyCAKey: other[keyCAKey]}), now, "no key that fits", false},
		{"the authority has no key", with(contents{keyCAKey: nil}), now, "no key that fits", false},
		{"the authority is no certificate", with(contents{keyCA: []byte("text")}), now, "no valid authority", false},
		{"the authority is a certificate that may not sign", with(contents{keyCA: good[keyLeaf], keyCAKey: good[keyLeafKey]}), now, "no valid authority", false},
		{"all has expired", good, now.Add(time.Hour), "no valid authority", false},
		{"the authority ends soon", good, now.Add(16 * time.Minute), "end before the next", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			next, reason := renew(t, c.data, c.at)
			if !strings.Contains(reason, c.reason) {
				t.Errorf("reason %q, want %q", reason, c.reason)
			}
			if err := verify(t, next, next, c.at); err != nil {
				t.Errorf("what was made is not valid: %v", err)
			}
			if same := bytes.Equal(next[keyCA], c.data[keyCA]); same != c.sameCA {
				t.Errorf("the authorities stayed: %v, want %v", same, c.sameCA)
			}
			if again, reason := renew(t, next, c.at); reason != "" {
				t.Errorf("renewed again at once, because %s: %d", reason, len(again))
			}
		})
	}
}

func TestANewNameOrUsageMakesACertificateAnew(t *testing.T) {
	data := filled()[0]
	wider := want
	wider.Others = append([]string{"*.tidegate-webhook"}, want.Others...)
	if _, reason, err := Renew(data, wider, terms, now); err != nil || !strings.Contains(reason, "lacks the name *.tidegate-webhook") {
		t.Errorf("reason %q, %v", reason, err)
	}
	wider = want
	wider.Usages = append([]x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, want.Usages...)
	if _, reason, err := Renew(data, wider, terms, now); err != nil || !strings.Contains(reason, "lacks a usage") {
		t.Errorf("reason %q, %v", reason, err)
	}
}

// TestRotationIsNeverSeen plays more than two lives of an authority. Whoever trusts what the Secret held up to 90 s ago must
// accept whoever shows what it held up to 90 s ago.
func TestRotationIsNeverSeen(t *testing.T) {
	const (
		look = 20 * time.Second
		lag  = 90 * time.Second
	)
	type state struct {
		at   time.Time
		data contents
	}
	data := filled()[0]
	history := []state{{now, data}}
	authorities, leaves := 0, 0
	for at := now; at.Before(now.Add(40 * time.Minute)); at = at.Add(look) {
		next, reason := renew(t, data, at)
		if reason != "" {
			if !bytes.Equal(next[keyCA], data[keyCA]) {
				authorities++
			}
			if !bytes.Equal(next[keyLeaf], data[keyLeaf]) {
				leaves++
			}
			data = next
			history = append(history, state{at, data})
		}
		var held []contents
		for i, s := range history {
			if i == len(history)-1 || history[i+1].at.After(at.Add(-lag)) {
				held = append(held, s.data)
			}
		}
		for _, trust := range held {
			for _, shown := range held {
				if err := verify(t, trust, shown, at); err != nil {
					t.Fatalf("after %s a caller refuses the certificate (last renewal now because %q): %v", at.Sub(now), reason, err)
				}
			}
		}
	}
	if authorities < 2 || leaves < 5 {
		t.Errorf("%d authorities and %d certificates were made: the test shows nothing", authorities, leaves)
	}
}
