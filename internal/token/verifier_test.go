package token_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/internal/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	secret = []byte("0123456789abcdef0123456789abcdef")
	at     = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func clock() time.Time { return at }

func sign(t *testing.T, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	raw, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func goodClaims() jwt.MapClaims {
	return jwt.MapClaims{"sub": "alice", "exp": at.Add(time.Hour).Unix()}
}

func with(change jwt.MapClaims) jwt.MapClaims {
	claims := goodClaims()
	for name, value := range change {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	return claims
}

func hs256(t *testing.T, rules token.Rules) token.Verifier {
	t.Helper()
	rules.Now = clock
	v, err := token.NewHS256(secret, rules)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAGoodTokenNamesItsClientAndEnd(t *testing.T) {
	for name, claims := range map[string]jwt.MapClaims{
		"plain":                           goodClaims(),
		"expired by less than the leeway": with(jwt.MapClaims{"exp": at.Add(-29 * time.Second).Unix()}),
		"valid in less than the leeway":   with(jwt.MapClaims{"nbf": at.Add(29 * time.Second).Unix()}),
		"with claims of others":           with(jwt.MapClaims{"scope": []string{"x"}, "iss": "i", "aud": "a"}),
	} {
		got, err := hs256(t, token.Rules{}).Verify(t.Context(), sign(t, jwt.SigningMethodHS256, secret, claims))
		if err != nil || got.Client != "alice" || got.Expires.Unix() != claims["exp"] {
			t.Errorf("a token %s gave %+v, %v", name, got, err)
		}
	}
}

func TestTokensThatMustNotGetIn(t *testing.T) {
	rsaKey, public := rsaPair(t)
	good := sign(t, jwt.SigningMethodHS256, secret, goodClaims())
	parts := strings.Split(good, ".")
	none := sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, goodClaims())
	other := []byte("another secret of thirty-two bytes")
	hs := func(change jwt.MapClaims) string { return sign(t, jwt.SigningMethodHS256, secret, with(change)) }
	tests := []struct{ name, raw, says string }{
		{"none at all", "", "there is none"},
		{"alg none", none, "signature or algorithm"},
		{"alg none written otherwise", header(`{"alg":"nOnE","typ":"JWT"}`) + "." + parts[1] + ".", "refused"},
		{"alg none with the signature of a good one", header(`{"alg":"none"}`) + "." + parts[1] + "." + parts[2], "signature or algorithm"},
		{"alg left out", header(`{}`) + "." + parts[1] + "." + parts[2], "refused"},
		{"alg a number", header(`{"alg":256}`) + "." + parts[1] + "." + parts[2], "refused"},
		{"no signature", parts[0] + "." + parts[1] + ".", "signature"},
		{"two parts", parts[0] + "." + parts[1], "well-formed"},
		{"four parts", good + ".x", "well-formed"},
		{"HS512 with the right secret", sign(t, jwt.SigningMethodHS512, secret, goodClaims()), "signature or algorithm"},
		{"RS256", sign(t, jwt.SigningMethodRS256, rsaKey, goodClaims()), "signature or algorithm"},
		{"HS256 over a public key", sign(t, jwt.SigningMethodHS256, public, goodClaims()), "signature"},
		{"another secret", sign(t, jwt.SigningMethodHS256, other, goodClaims()), "signature"},
		{"other claims under a good signature", parts[0] + "." + header(`{"sub":"root","exp":9999999999}`) + "." + parts[2], "signature"},
		{"expired", hs(jwt.MapClaims{"exp": at.Add(-31 * time.Second).Unix()}), "expired"},
		{"no exp", hs(jwt.MapClaims{"exp": nil}), "required claim"},
		{"exp a text", hs(jwt.MapClaims{"exp": "tomorrow"}), "well-formed"},
		{"exp beyond every calendar", hs(jwt.MapClaims{"exp": 1e300}), "refused"},
		{"exp in the year 12000", hs(jwt.MapClaims{"exp": 316516118400}), "plausible"},
		{"not valid yet", hs(jwt.MapClaims{"nbf": at.Add(31 * time.Second).Unix()}), "not valid yet"},
		{"no sub", hs(jwt.MapClaims{"sub": nil}), "sub"},
		{"an empty sub", hs(jwt.MapClaims{"sub": ""}), "sub"},
		{"a sub that is a list", hs(jwt.MapClaims{"sub": []string{"alice"}}), "well-formed"},
		{"a sub with a line break", hs(jwt.MapClaims{"sub": "alice\nbob"}), "sub"},
		{"a sub over 256 bytes", hs(jwt.MapClaims{"sub": strings.Repeat("a", 257)}), "sub"},
		{"a line break inside", good[:10] + "\n" + good[10:], "character"},
		{"a space behind", good + " ", "character"},
		{"padding", good + "=", "character"},
		{"over 8 KiB", strings.Repeat("a", 8193), "8 KiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := hs256(t, token.Rules{}).Verify(t.Context(), tt.raw)
			if !errors.Is(err, token.ErrRefused) {
				t.Fatalf("got in as %+v, %v", got, err)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %q: want words with %q", err, tt.says)
			}
			if len(tt.raw) > 20 && strings.Contains(err.Error(), tt.raw[:20]) {
				t.Errorf("error %q repeats the token", err)
			}
		})
	}
}

func header(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func TestATokenWithAnyByteChangedIsRefused(t *testing.T) {
	good := sign(t, jwt.SigningMethodHS256, secret, goodClaims())
	v := hs256(t, token.Rules{})
	for i := range len(good) {
		for _, to := range []byte{good[i] ^ 1, 'A', '.', '-', 0} {
			if to == good[i] {
				continue
			}
			changed := good[:i] + string(rune(to)) + good[i+1:]
			if got, err := v.Verify(t.Context(), changed); err == nil {
				t.Fatalf("with byte %d changed it got in as %+v", i, got)
			}
		}
		if _, err := v.Verify(t.Context(), good[:i]); err == nil {
			t.Fatalf("cut to %d bytes it got in", i)
		}
	}
}

func TestIssuerAndAudienceAreHeldWhenSet(t *testing.T) {
	v := hs256(t, token.Rules{Issuer: "https://id", Audience: "tidegate"})
	good := with(jwt.MapClaims{"iss": "https://id", "aud": []string{"other", "tidegate"}})
	if _, err := v.Verify(t.Context(), sign(t, jwt.SigningMethodHS256, secret, good)); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]jwt.MapClaims{
		"no issuer": {"aud": "tidegate"}, "another issuer": {"iss": "https://evil", "aud": "tidegate"},
		"no audience": {"iss": "https://id"}, "another audience": {"iss": "https://id", "aud": "mail"},
	} {
		if got, err := v.Verify(t.Context(), sign(t, jwt.SigningMethodHS256, secret, with(change))); !errors.Is(err, token.ErrRefused) {
			t.Errorf("a token with %s got in as %+v, %v", name, got, err)
		}
	}
}

func TestAShortSecretIsRefused(t *testing.T) {
	if _, err := token.NewHS256(secret[:31], token.Rules{}); err == nil || strings.Contains(err.Error(), string(secret[:31])) {
		t.Errorf("error %v: want a refusal that does not repeat the secret", err)
	}
}

func TestDevModeTakesAnIDAtItsWord(t *testing.T) {
	v := token.NewDev(clock)
	if got, err := v.Verify(t.Context(), "client 7"); err != nil || got.Client != "client 7" || !got.Expires.After(at.Add(time.Hour)) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, id := range []string{"", "a\x00", strings.Repeat("a", 257), "\xff"} {
		if _, err := v.Verify(t.Context(), id); !errors.Is(err, token.ErrRefused) {
			t.Errorf("%q was taken as a client id", id)
		}
	}
}

func rsaPair(t *testing.T) (*rsa.PrivateKey, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// issuer serves a key set that a test can change.
type issuer struct {
	*httptest.Server
	keys  atomic.Value // []map[string]string
	reads atomic.Int64
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	i.keys.Store([]map[string]string{})
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.reads.Add(1)
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": i.keys.Load()})
	}))
	t.Cleanup(func() {
		i.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return i
}

func b64(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }

func rsaJWK(kid string, key *rsa.PublicKey) map[string]string {
	return map[string]string{"kty": "RSA", "kid": kid, "alg": "RS256", "use": "sig", "n": b64(key.N), "e": "AQAB"}
}

func withKid(t *testing.T, method jwt.SigningMethod, kid string, key any) string {
	t.Helper()
	unsigned := jwt.NewWithClaims(method, goodClaims())
	unsigned.Header["kid"] = kid
	raw, err := unsigned.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func jwks(t *testing.T, address string) token.Verifier {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	v, err := token.NewJWKS(ctx, address, token.Rules{Now: clock}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestJWKSTakesTheIssuersKeysAndNoOther(t *testing.T) {
	rsaKey, public := rsaPair(t)
	stranger, _ := rsaPair(t)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := newIssuer(t)
	i.keys.Store([]map[string]string{rsaJWK("r1", &rsaKey.PublicKey)})
	v := jwks(t, i.URL)
	if got, err := v.Verify(t.Context(), withKid(t, jwt.SigningMethodRS256, "r1", rsaKey)); err != nil || got.Client != "alice" {
		t.Fatalf("a good token gave %+v, %v", got, err)
	}
	for name, raw := range map[string]string{
		"HS256 with the public key as its secret (RS/HS confusion)": withKid(t, jwt.SigningMethodHS256, "r1", public),
		"a stranger's key under a known key id":                     withKid(t, jwt.SigningMethodRS256, "r1", stranger),
		"a stranger's key without a key id":                         sign(t, jwt.SigningMethodRS256, stranger, goodClaims()),
		"another algorithm than the key's":                          withKid(t, jwt.SigningMethodRS512, "r1", rsaKey),
		"a curve key under the RSA key's id":                        withKid(t, jwt.SigningMethodES256, "r1", curve),
		"alg none":                                                  withKid(t, jwt.SigningMethodNone, "r1", jwt.UnsafeAllowNoneSignatureType),
		"an unknown key id":                                         withKid(t, jwt.SigningMethodRS256, "r9", rsaKey),
	} {
		if got, err := v.Verify(t.Context(), raw); !errors.Is(err, token.ErrRefused) {
			t.Errorf("%s got in as %+v, %v", name, got, err)
		}
	}
}

func TestJWKSFindsANewKeyButInventedKeyIDsCannotHammerTheIssuer(t *testing.T) {
	first, _ := rsaPair(t)
	second, _ := rsaPair(t)
	i := newIssuer(t)
	i.keys.Store([]map[string]string{rsaJWK("r1", &first.PublicKey)})
	v := jwks(t, i.URL)
	i.keys.Store([]map[string]string{rsaJWK("r1", &first.PublicKey), rsaJWK("r2", &second.PublicKey)})
	if _, err := v.Verify(t.Context(), withKid(t, jwt.SigningMethodRS256, "r2", second)); err != nil {
		t.Fatalf("a token of the issuer's new key: %v", err)
	}
	for range 20 {
		if _, err := v.Verify(t.Context(), withKid(t, jwt.SigningMethodRS256, "invented", second)); err == nil {
			t.Fatal("an invented key id got in")
		}
	}
	if reads := i.reads.Load(); reads > 3 {
		t.Errorf("the key set was read %d times: strangers can use the node to flood the issuer", reads)
	}
}

func TestWithoutAnyKeyTheClientIsToldToTryAgain(t *testing.T) {
	key, _ := rsaPair(t)
	i := newIssuer(t)
	v := jwks(t, i.URL)
	_, err := v.Verify(t.Context(), withKid(t, jwt.SigningMethodRS256, "r1", key))
	if !errors.Is(err, token.ErrUnavailable) || errors.Is(err, token.ErrRefused) {
		t.Errorf("error %v: clients would throw good tokens away while the issuer is down", err)
	}
}

func TestJWKSAddressMustBeSafe(t *testing.T) {
	for _, address := range []string{"", "issuer", "http://issuer.example/keys", "ftp://127.0.0.1/keys", "http://10.0.0.1/keys"} {
		if _, err := token.NewJWKS(t.Context(), address, token.Rules{}, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%q was accepted", address)
		}
	}
}
