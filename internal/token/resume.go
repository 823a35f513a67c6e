package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
)

// resumePrefix is the version of the resume token's form; a new form gets a new one.
const resumePrefix = "tr1."

// maxResumeBytes bounds a resume token before it is decoded: the longest names need about 1.5 KB.
const maxResumeBytes = 4 << 10

// resumeDomain keeps this MAC apart from every other use of the same key.
const resumeDomain = "tidegate resume token v1\x00"

// ErrResume is inside every error about a resume token.
var ErrResume = errors.New("resume token refused")

// strict refuses texts that differ in unused bits: one token has one spelling.
var strict = base64.RawURLEncoding.Strict()

// Resume is what a resume token proves: this client had this session, at this epoch, in this fleet.
type Resume struct {
	Fleet   fleet.ID
	Client  string
	Session string
	Epoch   uint64
	// Expires is when the token is worth nothing any more, to the millisecond. It is compared with the time that Verify is
	// given: use the same clock for both.
	Expires time.Time
}

// Sign writes a token with the ring's first key. The names must be no longer than the protocol allows.
func (r *Ring) Sign(resume Resume) string {
	first := r.keys[0]
	body := appendName(nil, first.id)
	body = appendName(body, resume.Fleet.Namespace)
	body = appendName(body, resume.Fleet.Name)
	body = appendName(body, resume.Client)
	body = appendName(body, resume.Session)
	body = binary.BigEndian.AppendUint64(body, resume.Epoch)
	body = binary.BigEndian.AppendUint64(body, uint64(resume.Expires.UnixMilli()))
	return resumePrefix + strict.EncodeToString(append(body, first.mac(body)...))
}

// Verify reads a token that any key of the ring signed. It says nothing about whose it is: see VerifyFor.
func (r *Ring) Verify(raw string, now time.Time) (Resume, error) {
	body, err := r.open(raw)
	if err != nil {
		return Resume{}, err
	}
	resume, ok := readResume(body)
	if !ok {
		return Resume{}, fmt.Errorf("%w: its content is of another form", ErrResume)
	}
	if !now.Before(resume.Expires) {
		return Resume{}, fmt.Errorf("%w: it has expired: connect without it", ErrResume)
	}
	return resume, nil
}

// VerifyFor is Verify for a token that must belong to this client of this fleet.
func (r *Ring) VerifyFor(raw string, id fleet.ID, client string, now time.Time) (Resume, error) {
	resume, err := r.Verify(raw, now)
	switch {
	case err != nil:
		return Resume{}, err
	case resume.Fleet != id:
		return Resume{}, fmt.Errorf("%w: it is of another fleet: connect without it", ErrResume)
	case resume.Client != client:
		return Resume{}, fmt.Errorf("%w: it is of another client: connect without it", ErrResume)
	}
	return resume, nil
}

// open checks the MAC and gives the body that it covers.
func (r *Ring) open(raw string) ([]byte, error) {
	text, found := strings.CutPrefix(raw, resumePrefix)
	if !found || len(raw) > maxResumeBytes || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%w: it is none that this version gives", ErrResume)
	}
	whole, err := strict.DecodeString(text)
	if err != nil || len(whole) < sha256.Size {
		return nil, fmt.Errorf("%w: it is cut or changed", ErrResume)
	}
	body, sum := whole[:len(whole)-sha256.Size], whole[len(whole)-sha256.Size:]
	kid, _, ok := cutName(body)
	if !ok {
		return nil, fmt.Errorf("%w: it is cut or changed", ErrResume)
	}
	k := r.find(kid)
	if k == nil {
		return nil, fmt.Errorf("%w: its key is not in the ring: connect without it", ErrResume)
	}
	if !hmac.Equal(sum, k.mac(body)) {
		return nil, fmt.Errorf("%w: it is cut or changed", ErrResume)
	}
	return body, nil
}

func (k *key) mac(body []byte) []byte {
	m := hmac.New(sha256.New, k.secret)
	m.Write([]byte(resumeDomain))
	m.Write(body)
	return m.Sum(nil)
}

func readResume(body []byte) (Resume, bool) {
	var names [5]string
	rest := body
	for i := range names {
		var ok bool
		if names[i], rest, ok = cutName(rest); !ok {
			return Resume{}, false
		}
	}
	if len(rest) != 16 {
		return Resume{}, false
	}
	return Resume{
		Fleet:   fleet.ID{Namespace: names[1], Name: names[2]},
		Client:  names[3],
		Session: names[4],
		Epoch:   binary.BigEndian.Uint64(rest),
		Expires: time.UnixMilli(int64(binary.BigEndian.Uint64(rest[8:]))).UTC(),
	}, true
}

// appendName writes a length and the bytes: no two lists of names give the same body.
func appendName(dst []byte, name string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(name))), name...)
}

func cutName(body []byte) (string, []byte, bool) {
	size, n := binary.Uvarint(body)
	if n <= 0 || size > uint64(len(body)-n) {
		return "", nil, false
	}
	end := n + int(size)
	return string(body[n:end]), body[end:], true
}
