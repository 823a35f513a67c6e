package token

import (
	"bytes"
	"context"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// minSecretBytes is the shortest secret that HS256 and the resume HMAC accept: as long as their hash.
const minSecretBytes = 32

// NewHS256 verifies JWTs that share a secret with their issuer. No other algorithm is accepted.
func NewHS256(secret []byte, rules Rules) (Verifier, error) {
	if len(secret) < minSecretBytes {
		return nil, fmt.Errorf("jwt secret has %d bytes: want at least %d random ones, for example from `openssl rand -base64 48`",
			len(secret), minSecretBytes)
	}
	key := bytes.Clone(secret)
	keys := func(context.Context) jwt.Keyfunc {
		return func(*jwt.Token) (any, error) { return key, nil }
	}
	return newVerifier(rules, keys, jwt.SigningMethodHS256.Alg()), nil
}
