package kafka

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// maxIterations bounds the work that a hostile server can ask of a client.
const maxIterations = 1 << 20

// scram is the client's side of one SCRAM exchange (RFC 5802), without channel binding.
type scram struct {
	hash     func() hash.Hash
	password string
	nonce    string
	first    string
	server   []byte
	step     int
}

// Begin starts an exchange.
func (s *scram) Begin(user, password, _ string) error {
	s.password, s.step = password, 0
	s.nonce = rand.Text()
	s.first = "n=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user) + ",r=" + s.nonce
	return nil
}

// Step answers the server's challenge.
func (s *scram) Step(challenge string) (string, error) {
	s.step++
	switch s.step {
	case 1:
		return "n,," + s.first, nil
	case 2:
		return s.prove(challenge)
	case 3:
		return "", s.verify(challenge)
	default:
		return "", errors.New("scram: the server goes on after the exchange is over")
	}
}

// Done says that the exchange is over.
func (s *scram) Done() bool { return s.step >= 3 }

func (s *scram) prove(challenge string) (string, error) {
	nonce, salt, iterations, err := s.parse(challenge)
	if err != nil {
		return "", err
	}
	salted, err := pbkdf2.Key(s.hash, s.password, salt, iterations, s.hash().Size())
	if err != nil {
		return "", fmt.Errorf("scram: derive the key: %w", err)
	}
	final := "c=biws,r=" + nonce
	signed := s.first + "," + challenge + "," + final
	client := s.mac(salted, "Client Key")
	stored := s.hash()
	stored.Write(client)
	proof := s.mac(stored.Sum(nil), signed)
	subtle.XORBytes(proof, proof, client)
	s.server = s.mac(s.mac(salted, "Server Key"), signed)
	return final + ",p=" + base64.StdEncoding.EncodeToString(proof), nil
}

func (s *scram) parse(challenge string) (nonce string, salt []byte, iterations int, err error) {
	fields := strings.Split(challenge, ",")
	if len(fields) < 3 || !strings.HasPrefix(fields[0], "r=") || !strings.HasPrefix(fields[1], "s=") || !strings.HasPrefix(fields[2], "i=") {
		return "", nil, 0, fmt.Errorf("scram: the server's challenge has another form: %.40q", challenge)
	}
	nonce = fields[0][2:]
	if !strings.HasPrefix(nonce, s.nonce) || nonce == s.nonce {
		return "", nil, 0, errors.New("scram: the server's nonce does not continue ours")
	}
	if salt, err = base64.StdEncoding.DecodeString(fields[1][2:]); err != nil {
		return "", nil, 0, fmt.Errorf("scram: salt: %w", err)
	}
	if iterations, err = strconv.Atoi(fields[2][2:]); err != nil || iterations < 1 || iterations > maxIterations {
		return "", nil, 0, fmt.Errorf("scram: iterations %.20q: want 1 to %d", fields[2][2:], maxIterations)
	}
	return nonce, salt, iterations, nil
}

func (s *scram) verify(challenge string) error {
	text, found := strings.CutPrefix(challenge, "v=")
	if !found {
		return fmt.Errorf("scram: the server refused: %.80q", challenge)
	}
	signature, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !hmac.Equal(signature, s.server) {
		return errors.New("scram: the server does not know the password")
	}
	return nil
}

func (s *scram) mac(key []byte, text string) []byte {
	mac := hmac.New(s.hash, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
