package token

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"

	"github.com/tidegate/tidegate/internal/logkey"
)

const (
	// jwksTimeout bounds each read of the key set.
	jwksTimeout = 5 * time.Second
	// jwksInterval is how often the key set is read again.
	jwksInterval = 15 * time.Minute
	// jwksUnknownEvery is how often an unknown key id may make the set be read at once: anybody can invent one.
	jwksUnknownEvery = 10 * time.Second
)

// asymmetric are the algorithms of a public key set. HMACs are not among them: a public key must never serve as a secret.
var asymmetric = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// NewJWKS verifies JWTs against the issuer's public key set at address, read at once, every 15 minutes, and when a token names
// a new key. While the set was never read, Verify answers ErrUnavailable. It works until ctx ends.
func NewJWKS(ctx context.Context, address string, rules Rules, logger *slog.Logger) (Verifier, error) {
	if err := validateJWKS(address); err != nil {
		return nil, err
	}
	set, err := keyfunc.NewDefaultOverrideCtx(ctx, []string{address}, keyfunc.Override{
		Client:            &http.Client{Timeout: jwksTimeout},
		HTTPTimeout:       jwksTimeout,
		RefreshInterval:   jwksInterval,
		RefreshUnknownKID: rate.NewLimiter(rate.Every(jwksUnknownEvery), 1),
		RateLimitWaitMax:  time.Millisecond + jwksTimeout, // the wait and the read that follows share it
		RefreshErrorHandlerFunc: func(string) func(context.Context, error) {
			return func(ctx context.Context, err error) {
				logger.WarnContext(ctx, "JWT keys could not be read; the last ones stay", slog.String(logkey.Addr, address),
					slog.String(logkey.Err, err.Error()))
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("jwks url %q: %w", address, err)
	}
	return newVerifier(rules, func(ctx context.Context) jwt.Keyfunc { return findKey(ctx, set) }, asymmetric...), nil
}

// findKey tells a token whose key is unknown from a key set that was never read.
func findKey(ctx context.Context, set keyfunc.Keyfunc) jwt.Keyfunc {
	find := set.KeyfuncCtx(ctx)
	return func(token *jwt.Token) (any, error) {
		key, err := find(token)
		known, readErr := set.VerificationKeySet(ctx)
		if readErr != nil || len(known.Keys) == 0 {
			return nil, ErrUnavailable
		}
		return key, err
	}
}

// validateJWKS asks for https: whoever can change the keys on their way can be anybody. Loopback has no way to change them on.
func validateJWKS(address string) error {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" {
		return fmt.Errorf("jwks url %q is no address: write it as https://issuer.example/.well-known/jwks.json", address)
	}
	host := parsed.Hostname()
	loopback := host == "localhost"
	if ip := net.ParseIP(host); ip != nil {
		loopback = ip.IsLoopback()
	}
	if parsed.Scheme != "https" && (parsed.Scheme != "http" || !loopback) {
		return fmt.Errorf("jwks url %q is not https: keys must not be changed on their way, use an https address", address)
	}
	return nil
}
