package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/tidegate/tidegate/internal/protocol"
)

// Options are the settings of who may connect, for every process that takes client tokens.
type Options struct {
	JWTSecretFile string `name:"jwt-secret-file" env:"TIDEGATE_JWT_SECRET_FILE" placeholder:"PATH" help:"File with the secret of HS256 client tokens, at least 32 bytes; white space around it is ignored."`
	JWKSURL       string `name:"jwks-url" env:"TIDEGATE_JWKS_URL" placeholder:"URL" help:"Address of the issuer's public keys (https), for client tokens signed with RS, PS, ES or EdDSA."`
	JWTIssuer     string `name:"jwt-issuer" env:"TIDEGATE_JWT_ISSUER" help:"The iss that a client token must have; empty accepts any."`
	JWTAudience   string `name:"jwt-audience" env:"TIDEGATE_JWT_AUDIENCE" help:"An aud that a client token must have; empty accepts any."`
	Dev           bool   `name:"dev" env:"TIDEGATE_DEV" help:"Believe every client: the client id is given openly (?clientId=). Never in production."`
}

// Validate reports settings that leave open, or say twice, whose tokens are believed.
func (o Options) Validate() error {
	ways := 0
	for _, set := range []bool{o.JWTSecretFile != "", o.JWKSURL != "", o.Dev} {
		if set {
			ways++
		}
	}
	if ways != 1 {
		return fmt.Errorf("%d of --jwt-secret-file, --jwks-url and --dev are set: set exactly one", ways)
	}
	if o.Dev && (o.JWTIssuer != "" || o.JWTAudience != "") {
		return errors.New("--dev reads no tokens, so --jwt-issuer and --jwt-audience mean nothing: leave them out")
	}
	if o.JWKSURL != "" {
		return validateJWKS(o.JWKSURL)
	}
	return nil
}

// Verifier builds what the options describe. now is the clock; nil is time.Now. A key set is kept fresh until ctx ends.
func (o Options) Verifier(ctx context.Context, now func() time.Time, logger *slog.Logger) (Verifier, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	rules := Rules{Issuer: o.JWTIssuer, Audience: o.JWTAudience, Now: now}
	switch {
	case o.Dev:
		return NewDev(now), nil
	case o.JWKSURL != "":
		return NewJWKS(ctx, o.JWKSURL, rules, logger)
	}
	secret, err := os.ReadFile(o.JWTSecretFile)
	if err != nil {
		return nil, fmt.Errorf("--jwt-secret-file: %w", err)
	}
	verifier, err := NewHS256(bytes.TrimSpace(secret), rules)
	if err != nil {
		return nil, fmt.Errorf("--jwt-secret-file %q: %w", o.JWTSecretFile, err)
	}
	return verifier, nil
}

// Raw finds what the options' verifier is to be given: the request's token, as FromRequest finds it, or in dev mode the client
// id of ?clientId= when there is one.
func (o Options) Raw(r *http.Request) (string, Source) {
	if o.Dev && r.URL != nil {
		if id := r.URL.Query().Get(protocol.ParamClient); id != "" {
			return id, Query
		}
	}
	return FromRequest(r)
}
