package token

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// maxKeys is how many keys a ring may hold: rotation needs two or three.
const maxKeys = 16

// keyID is how a key may be named.
var keyID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// Ring holds the keys of resume tokens. The first signs, all verify: a new key is put first, and the old one is taken out
// when the longest resume window has passed. It never changes and is safe for concurrent use.
type Ring struct{ keys []key }

type key struct {
	id     string
	secret []byte
}

// LoadRing reads a ring from a file, as ParseRing does.
func LoadRing(path string) (*Ring, error) {
	file, err := os.Open(path) //nolint:gosec // The operator names the file.
	if err != nil {
		return nil, fmt.Errorf("resume key file: %w", err)
	}
	defer func() { _ = file.Close() }() // only read: nothing can be lost
	ring, err := ParseRing(file)
	if err != nil {
		return nil, fmt.Errorf("resume key file %q: %w", path, err)
	}
	return ring, nil
}

// ParseRing reads lines of "kid:base64": a name of 1 to 32 of A-Z a-z 0-9 _ -, and at least 32 random bytes in standard base64.
// Empty lines and lines that begin with # are skipped.
func ParseRing(source io.Reader) (*Ring, error) {
	ring := &Ring{}
	lines := bufio.NewScanner(source)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := ring.add(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	if len(ring.keys) == 0 {
		return nil, errors.New("has no key: write a line k1:<base64>, for example from `openssl rand -base64 32`")
	}
	return ring, nil
}

func (r *Ring) add(line string) error {
	kid, text, found := strings.Cut(line, ":")
	if !found || !keyID.MatchString(kid) {
		return errors.New("is not kid:base64: begin with a key name of 1 to 32 of A-Z a-z 0-9 _ - and a colon")
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(text))
	switch {
	case err != nil:
		// The decoder's own error is left out: it tells where in the secret it stopped.
		return fmt.Errorf("key %q is not standard base64 with padding: write what `openssl rand -base64 32` gives", kid)
	case len(secret) < minSecretBytes:
		return fmt.Errorf("key %q has %d bytes: want at least %d random ones", kid, len(secret), minSecretBytes)
	case r.find(kid) != nil:
		return fmt.Errorf("key name %q is there twice: give each key its own name", kid)
	case len(r.keys) == maxKeys:
		return fmt.Errorf("is key number %d: at most %d are allowed, take old ones out", maxKeys+1, maxKeys)
	}
	r.keys = append(r.keys, key{id: kid, secret: secret})
	return nil
}

// NewKeyLine makes a random key and writes it as a line that ParseRing reads.
func NewKeyLine(kid string) string {
	var secret [minSecretBytes]byte
	_, _ = rand.Read(secret[:]) // never fails: crypto/rand ends the process instead
	return kid + ":" + base64.StdEncoding.EncodeToString(secret[:])
}

// find gives the key of that name; nil when there is none. Names are no secret: they stand in every token.
func (r *Ring) find(kid string) *key {
	for i := range r.keys {
		if r.keys[i].id == kid {
			return &r.keys[i]
		}
	}
	return nil
}
