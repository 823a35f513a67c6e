package token_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tidegate/tidegate/internal/token"
)

func TestATokenIsFoundWhereverAClientCanPutIt(t *testing.T) {
	tests := []struct {
		name, target string
		header       http.Header
		want         string
		source       token.Source
	}{
		{"nowhere", "/ws/connect", nil, "", token.None},
		{"in the header", "/", http.Header{"Authorization": {"Bearer a.b.c"}}, "a.b.c", token.Header},
		{"in the header, scheme in other letters", "/", http.Header{"Authorization": {"bEARER  a.b.c "}}, "a.b.c", token.Header},
		{"another scheme", "/", http.Header{"Authorization": {"Basic a.b.c"}}, "", token.None},
		{"a scheme without token", "/", http.Header{"Authorization": {"Bearer "}}, "", token.None},
		{"in the subprotocol list", "/", http.Header{"Sec-Websocket-Protocol": {"tidegate.v1, bearer.a.b.c"}}, "a.b.c", token.Subprotocol},
		{"in a second subprotocol header", "/", http.Header{"Sec-Websocket-Protocol": {"tidegate.v1", "bearer.a.b.c"}}, "a.b.c", token.Subprotocol},
		{"in the query", "/?token=a.b.c&x=1", nil, "a.b.c", token.Query},
		{"everywhere: the header counts", "/?token=q", http.Header{"Authorization": {"Bearer h"}, "Sec-Websocket-Protocol": {"bearer.s"}}, "h", token.Header},
		{"a client id outside dev mode", "/?clientId=alice", nil, "", token.None},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, tt.target, nil)
			r.Header = tt.header
			if raw, source := token.FromRequest(r); raw != tt.want || source != tt.source {
				t.Errorf("found %q in %q, want %q in %q", raw, source, tt.want, tt.source)
			}
		})
	}
}

func TestAnOpenClientIDCountsInDevModeOnly(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/?clientId=alice&token=t", nil)
	if raw, _ := (token.Options{Dev: true}).Raw(r); raw != "alice" {
		t.Errorf("dev mode found %q", raw)
	}
	if raw, _ := (token.Options{JWKSURL: "https://x/k"}).Raw(r); raw != "t" {
		t.Errorf("outside dev mode %q was found: anybody could be alice", raw)
	}
}

func TestNoAddressInALogHoldsAToken(t *testing.T) {
	tests := []struct{ address, want string }{
		{"/ws/connect", "/ws/connect"},
		{"/ws/connect?token=SECRET&offset=t:1", "/ws/connect?token=hidden&offset=t:1"},
		{"/?a=1&resume=SECRET&token=SECRET", "/?a=1&resume=hidden&token=hidden"},
		{"/?TOKEN=SECRET", "/?TOKEN=hidden"},
		{"/?%74oken=SECRET", "/?%74oken=hidden"},
		{"/?%zz=SECRET", "/?%zz=hidden"},
		{"/?a;token=SECRET", "/?a;token=hidden"},
		{"/?token=a=SECRET", "/?token=hidden"},
		{"/?token", "/?token"},
		{"wss://me:SECRET@host:1/p?token=SECRET#SECRET", "wss://host:1/p?token=hidden"},
		{"wss://SECRET@host?token=SECRET", "wss://host?token=hidden"},
	}
	for _, tt := range tests {
		if got := token.Redact(tt.address); got != tt.want || strings.Contains(got, "SECRET") {
			t.Errorf("Redact(%q) = %q, want %q", tt.address, got, tt.want)
		}
	}
	if got := token.Redact("/?x;token=SECRET;y"); strings.Contains(got, "SECRET") {
		t.Errorf("%q shows a token behind a semicolon", got)
	}
}

func TestOptionsSayExactlyOnceWhoIsBelieved(t *testing.T) {
	for name, o := range map[string]token.Options{
		"nothing set":            {},
		"a secret and dev mode":  {JWTSecretFile: "f", Dev: true},
		"a secret and a key set": {JWTSecretFile: "f", JWKSURL: "https://x/k"},
		"an issuer in dev mode":  {Dev: true, JWTIssuer: "i"},
		"keys over plain http":   {JWKSURL: "http://issuer.example/k"},
	} {
		if err := o.Validate(); err == nil {
			t.Errorf("%s was accepted", name)
		}
		if _, err := o.Verifier(t.Context(), clock, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s made a verifier", name)
		}
	}
}

func TestOptionsBuildTheVerifierTheyDescribe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, append([]byte("\n"), append(secret, '\n')...), 0o600); err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	v, err := token.Options{JWTSecretFile: path}.Verifier(t.Context(), clock, logger)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Verify(t.Context(), sign(t, jwt.SigningMethodHS256, secret, goodClaims())); err != nil || got.Client != "alice" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := (token.Options{JWTSecretFile: path + ".missing"}).Verifier(t.Context(), clock, logger); err == nil {
		t.Error("a missing secret file was accepted")
	}
	v, err = token.Options{Dev: true}.Verifier(t.Context(), clock, logger)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Verify(t.Context(), "bob"); err != nil || got.Client != "bob" {
		t.Errorf("dev mode gave %+v, %v", got, err)
	}
}
