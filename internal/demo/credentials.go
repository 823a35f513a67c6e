package demo

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tidegate/tidegate/internal/token"
)

// tokenLife outlasts any demo.
const tokenLife = 24 * time.Hour

// credentials are the secrets of one demo, made anew each time: clients are checked as in production.
type credentials struct {
	secret     []byte
	secretFile string
	ringFile   string
	nonce      string
}

func newCredentials(dir string) (*credentials, error) {
	c := &credentials{
		secret:     []byte(rand.Text() + rand.Text()),
		secretFile: filepath.Join(dir, "jwt-secret"),
		ringFile:   filepath.Join(dir, "resume-keys"),
		nonce:      base64.RawURLEncoding.EncodeToString([]byte(rand.Text())),
	}
	if err := os.WriteFile(c.secretFile, c.secret, 0o600); err != nil {
		return nil, fmt.Errorf("write the demo's token secret: %w", err)
	}
	if err := os.WriteFile(c.ringFile, []byte(token.NewKeyLine("demo")+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("write the demo's resume keys: %w", err)
	}
	return c, nil
}

// mint signs a client's token.
func (c *credentials) mint(client string) (string, error) {
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Subject:   client,
		ExpiresAt: jwt.NewNumericDate(time.Now().Add(tokenLife)),
	}).SignedString(c.secret)
	if err != nil {
		return "", fmt.Errorf("sign a client token: %w", err)
	}
	return signed, nil
}
