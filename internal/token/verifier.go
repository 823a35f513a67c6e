// Package token says who a client is (a JWT, or in dev mode a plain id) and proves that a session may be resumed (an HMAC
// that nodes give and check themselves). No error of this package repeats a token or a key.
package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tidegate/tidegate/internal/protocol"
)

// Leeway is how far the clocks of a token's issuer and of this process may differ: `exp` and `nbf` are taken that loosely.
const Leeway = 30 * time.Second

// Errors of Verify. A refused token is the client's fault (401); unavailable keys are not (503, try again).
var (
	// ErrRefused is inside every error about the token itself.
	ErrRefused = errors.New("token refused")
	// ErrUnavailable is inside the error when the issuer's keys were never read.
	ErrUnavailable = errors.New("token keys unavailable")
)

// Identity is a client that proved who it is.
type Identity struct {
	// Client is the client id: the token's `sub`.
	Client string
	// Expires is the token's `exp`: the connection is closed then, unless it was refreshed.
	Expires time.Time
}

// Verifier tells who a raw token belongs to. Verify is safe for concurrent use; its error contains ErrRefused or
// ErrUnavailable and may be shown to the client.
type Verifier interface {
	Verify(ctx context.Context, raw string) (Identity, error)
}

// Rules are what a JWT must say besides its signature.
type Rules struct {
	// Issuer is the `iss` a token must have; empty accepts any.
	Issuer string
	// Audience is an `aud` a token must have; empty accepts any.
	Audience string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// claims are the only claims that are read.
type claims = jwt.RegisteredClaims

// verifier checks JWTs: what keys finds is tried against one of the pinned algorithms.
type verifier struct {
	parser *jwt.Parser
	keys   func(ctx context.Context) jwt.Keyfunc
}

func newVerifier(rules Rules, keys func(ctx context.Context) jwt.Keyfunc, algorithms ...string) *verifier {
	if rules.Now == nil {
		rules.Now = time.Now
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods(algorithms),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(Leeway),
		jwt.WithTimeFunc(rules.Now),
		jwt.WithStrictDecoding(),
	}
	if rules.Issuer != "" {
		options = append(options, jwt.WithIssuer(rules.Issuer))
	}
	if rules.Audience != "" {
		options = append(options, jwt.WithAudience(rules.Audience))
	}
	return &verifier{parser: jwt.NewParser(options...), keys: keys}
}

// Verify implements Verifier.
func (v *verifier) Verify(ctx context.Context, raw string) (Identity, error) {
	if fault := shape(raw); fault != "" {
		return Identity{}, refused(fault)
	}
	var got claims
	if _, err := v.parser.ParseWithClaims(raw, &got, v.keys(ctx)); err != nil {
		return Identity{}, explain(err)
	}
	// Beyond the year 9999 a time is no longer a time: numbers like 1e300 end up here on some processors.
	if got.ExpiresAt == nil || got.ExpiresAt.Year() > 9999 {
		return Identity{}, refused("its exp is missing or not a plausible time")
	}
	if err := protocol.ValidateClient(got.Subject); err != nil {
		return Identity{}, refused("its sub is no client id: want 1 to 256 bytes without control characters")
	}
	return Identity{Client: got.Subject, Expires: got.ExpiresAt.Time}, nil
}

// shape refuses what cannot be a JWT before anything is decoded: decoders skip line breaks, which would give one token many
// spellings.
func shape(raw string) string {
	switch {
	case raw == "":
		return "there is none: send a JWT"
	case len(raw) > protocol.MaxTokenBytes:
		return "it is longer than 8 KiB"
	}
	for i := range len(raw) {
		if !isTokenByte(raw[i]) {
			return "it has a character that no JWT has"
		}
	}
	return ""
}

func isTokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.'
}

// faults gives each error of the JWT library its words. The library's own text is not used: it may repeat the token. The
// order matters: the first that is inside the error wins.
var faults = []struct {
	is  error
	say string
}{
	{jwt.ErrTokenSignatureInvalid, "its signature or algorithm is not accepted here"},
	{jwt.ErrTokenUnverifiable, "it is signed with a key that is not known here"},
	{jwt.ErrTokenExpired, "it has expired: get a new one"},
	{jwt.ErrTokenNotValidYet, "it is not valid yet: check nbf and the clocks"},
	{jwt.ErrTokenRequiredClaimMissing, "a required claim is missing: it needs sub and exp, and iss and aud where they are set"},
	{jwt.ErrTokenInvalidIssuer, "its iss is not the issuer that is trusted here"},
	{jwt.ErrTokenInvalidAudience, "its aud is not for this service"},
	{jwt.ErrTokenMalformed, "it is not a well-formed JWT"},
}

func explain(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return fmt.Errorf("%w: try again later", ErrUnavailable)
	}
	for _, fault := range faults {
		if errors.Is(err, fault.is) {
			return refused(fault.say)
		}
	}
	return refused("its claims are not valid")
}

func refused(why string) error { return fmt.Errorf("%w: %s", ErrRefused, why) }
